"""Where rollouts part, how long they are, and which tokens are raised, against loops over rows."""

import numpy as np
import pytest

from causeway.engine.analyses.replay import run
from causeway.engine.analyses.replay.divergence import first_difference
from causeway.engine.analyses.replay.pathways import PathwaySettings
from causeway.engine.analyses.replay.recorded import BASELINE


@pytest.fixture(scope="module")
def found(replayed):
    workdir, _, _ = replayed
    return run.read_stores(workdir, PathwaySettings(), text=lambda token: f"t{token}")


@pytest.mark.parametrize(
    ("a", "b", "place"),
    [([1, 2], [1, 2], None), ([1, 2], [1, 3], 1), ([2], [3, 4], 0), ([1, 2], [1, 2, 3], 2), ([], [], None)],
)
def test_the_first_difference_is_a_token_or_an_end(a, b, place):
    assert first_difference(a, b) == first_difference(b, a) == place


def test_every_rollout_has_its_first_difference_and_length(found, replayed):
    _, free, _ = replayed
    for row in found.differences.to_pylist():
        key = (row["layer"], row["feature"], row["arm"])
        own = free.tokens(free.rows_of(*key, row["prompt_id"])[row["trial"]])
        clean = free.tokens(free.rows_of(*BASELINE, row["prompt_id"])[row["trial"]])
        assert row["first_difference"] == first_difference(own, clean)
        assert (row["length"], row["reference_length"]) == (len(own), len(clean))
    assert found.differences.num_rows == 6 * 2 * 4 * 3


def test_sources_sum_up_their_rollouts(found):
    rows = found.differences.to_pylist()
    for source in found.sources.to_pylist():
        names = ("layer", "feature", "arm")
        mine = [row for row in rows if all(row[name] == source[name] for name in names)]
        places = [row["first_difference"] for row in mine if row["first_difference"] is not None]
        assert source["parted"] == pytest.approx(len(places) / len(mine))
        assert (source["first_difference"] is None) == (not places)
        assert not places or source["first_difference"] == pytest.approx(np.mean(places))
        change = np.mean([row["length"] - row["reference_length"] for row in mine])
        assert source["length_change"] == pytest.approx(change)
        assert source["value_set"] != source["value_before"]


def test_logits_are_compared_where_both_rows_have_them(found, replayed):
    _, free, _ = replayed
    seen = 0
    for row in found.logits.to_pylist():
        changes, relative, came_in, went_out = [], [], 0, 0
        for prompt in free.prompt_ids.tolist():
            pair = []
            for key in ((row["layer"], row["feature"], row["arm"]), BASELINE):
                one = free.rows_of(*key, prompt)[:1]
                ids, values = free.array("top_tokens", one)[0, 0], free.array("top_logits", one)[0, 0]
                pair.append(dict(zip(ids.tolist(), values.astype(float).tolist(), strict=True)))
            edited, plain = pair
            token = row["token_id"]
            came_in += token in edited and token not in plain
            went_out += token in plain and token not in edited
            if token in edited and token in plain:
                shared = [edited[t] - plain[t] for t in edited if t in plain]
                changes.append(edited[token] - plain[token])
                relative.append(changes[-1] - np.mean(shared))
        assert (row["prompts"], row["came_in"], row["went_out"]) == (len(changes), came_in, went_out)
        assert row["text"] == f"t{row['token_id']}"
        if changes:
            seen += 1
            assert row["change"] == pytest.approx(np.mean(changes))
            assert row["relative"] == pytest.approx(np.mean(relative), abs=1e-9)
            assert row["direction"] == {1: "raised", -1: "lowered", 0: None}[int(np.sign(np.mean(changes)))]
        else:
            assert row["change"] is row["direction"] is None
    assert seen
