"""What a flag says of where rollouts end."""

import pytest

from causeway.drivers.flags.stop_flag import stops


@pytest.mark.parametrize(
    ("given", "found"),
    [
        (None, None),
        ("", []),
        ("13", [13]),
        ("13, 198", [13, 198]),
        ("-1", [-1]),
        (".", ["."]),
        ("\n", ["\n"]),
        ("a, b", ["a, b"]),
        (r'["\n\n", 13, "13"]', ["\n\n", 13, "13"]),
        ("[]", []),
    ],
)
def test_ids_a_text_or_a_list_of_both(given, found):
    assert stops(given) == found


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (r"\n", r"write a line's end and the like in JSON"),
        ("[1", "is not JSON"),
        ("[1.5]", r"got 1\.5; needs token ids and texts"),
        ("[true]", "got true"),
        ("[" * 10_000, "is not JSON"),
    ],
)
def test_anything_else_is_refused_in_one_line(given, message):
    with pytest.raises(ValueError, match=f"^--stop_tokens: .*{message}") as caught:
        stops(given)
    assert "\n" not in str(caught.value)
