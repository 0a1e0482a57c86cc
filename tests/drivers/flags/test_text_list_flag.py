"""Texts of a list flag keep their spaces."""

import pytest

from causeway.drivers.flags.entry import TextListParser


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("", []),
        (" girl", [" girl"]),
        (" girl, boy,id:73", [" girl", " boy", "id:73"]),
        ('" a, b",c', [" a, b", "c"]),
        ("\n", ["\n"]),
        ([" a"], [" a"]),
    ],
)
def test_texts_are_as_they_are_written(given, found):
    assert TextListParser().parse(given) == found


def test_quotes_that_do_not_close_are_refused():
    with pytest.raises(ValueError, match="needs texts between commas"):
        TextListParser().parse('"a,b')
