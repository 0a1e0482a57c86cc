"""Names of graph files: a prompt's id where it can name files, and never one name for two prompts."""

import itertools

import pytest

from causeway.ports.graphs.save import graph_slugs


def test_ids_that_can_name_files_do():
    assert graph_slugs(["a", "b-1.x", "ünder_score"]) == ["a", "b-1.x", "ünder_score"]


@pytest.mark.parametrize(
    ("ids", "slugs"),
    [
        (["prompt-00001", "two words"], ["prompt-00001", "prompt-00001-"]),
        (["two words", "prompt-00000"], ["prompt-00000-", "prompt-00000"]),
        (["a", "A"], ["a", "prompt-00001"]),
        (["x", "x_heads"], ["x", "prompt-00001"]),
        (["x", "x.json", "x.graphml"], ["x", "prompt-00001", "prompt-00002"]),
        (["graph-metadata", "..", ".hidden", "a/b", ""], [f"prompt-{n:05d}" for n in range(5)]),
        (["y" * 300], ["prompt-00000"]),
    ],
)
def test_ids_that_would_share_a_file_are_told_apart(ids, slugs):
    assert graph_slugs(ids) == slugs


def test_no_two_are_ever_equal():
    pieces = ["a", "A", "prompt-00000", "prompt-00001", "prompt-00001-", "a b", "a_heads", ".."]
    for ids in itertools.permutations(pieces, 4):
        names = [name.casefold() for name in graph_slugs(ids)]
        assert len({*names, *(f"{name}_heads" for name in names)}) == 8
