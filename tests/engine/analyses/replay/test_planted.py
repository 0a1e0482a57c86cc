"""A pathway that was built in is found, in both measures, and no other is; q is that of its family."""

import numpy as np
import pytest

from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.replay import run
from causeway.engine.analyses.replay.columns import columns_of
from causeway.engine.analyses.replay.comparisons import comparisons
from causeway.engine.analyses.replay.estimates import halves_of, prompt_means
from causeway.engine.analyses.replay.gather import Source, gathered
from causeway.engine.analyses.replay.pathways import PathwaySettings
from causeway.engine.analyses.replay.recorded import Recorded
from causeway.engine.analyses.replay.replay_summary import lines
from causeway.engine.stats.multiple import adjust

SOURCE, TARGET = (0, 1), (2, 5)


@pytest.fixture(scope="module")
def workdir(tiny, tiny_sweep, transformer, tmp_path_factory):
    """Feature 1 of layer 0 writes along what feature 5 of layer 2 reads; the others write next to nothing."""
    dictionary = tiny.make_dictionary("relu")
    reads, writes = np.asarray(dictionary.W_enc[...]), 0.02 * np.array(dictionary.W_dec[...])
    writes[0, SOURCE[1]] = 4 * reads[1, :, TARGET[1]]
    dictionary.W_dec[...] = writes
    features = FeatureSet(np.array([0, 0, 2, 2]), np.array([1, 4, 5, 9]), {"risky": np.full(4, 3.0)})
    sweep = tiny_sweep.make_sweep(
        transformer, dictionary, "sampled", ("baseline", "patch", "random"), features=features, rows=64, draws=19,
        prompts=tiny_sweep.make_prompts(40), record="patched", trials=2, scope="last_prompt_and_decode",
    )  # fmt: skip
    workdir = tmp_path_factory.mktemp("planted")
    run.check(sweep, PathwaySettings(), True)
    run.run(sweep, workdir)
    return workdir


@pytest.fixture(scope="module")
def found(workdir):
    return run.read_stores(workdir, PathwaySettings())


def test_the_planted_pathway_is_found_at_every_step_and_no_other(found):
    decided = [row for row in found.pathways.to_pylist() if row["is_pathway"]]
    names = {
        ((row["source_layer"], row["source_feature"]), (row["target_layer"], row["target_feature"]), row["measure"],
         row["step"]) for row in decided
    }  # fmt: skip
    assert names == {
        (SOURCE, TARGET, measure, step)
        for measure in ("free", "teacher_forced")
        for step in ("last_prompt", "generated")
    }
    for row in decided:
        assert row["replicated"]
        assert row["exceeds_null"]
        assert abs(row["delta"]) > row["null_high"] == -row["null_low"]
        assert row["low"] < row["delta"] < row["high"]


@pytest.mark.slow
def test_the_band_is_the_largest_change_of_the_sources_own_random_features(found, workdir):
    """Random features of other sources are pushed otherwise, and have no say."""
    free = Recorded.open(workdir / "free", "replay")
    columns = columns_of(free, None, [])
    _, estimation = halves_of(free.prompt_ids, free.group_of, True, 0)
    sizes = {}
    for one, by_step in gathered(Source(free, free), comparisons(free)[1], columns):
        for step, readings in by_step.items():
            delta = prompt_means(prompt_means(readings.change)[estimation][None])[0]
            sizes.setdefault((one.layer, one.feature, step), []).append(np.abs(delta))
    rows = [row for row in found.pathways.to_pylist() if row["measure"] == "free"]
    for row in rows:
        own = np.array(sizes[row["source_layer"], row["source_feature"], row["step"]])
        assert len(own) == 19
        target = columns.find((row["target_layer"], row["target_feature"]))
        assert row["null_high"] == pytest.approx(own[:, target].max(), rel=1e-9, abs=1e-12)


def test_every_family_is_corrected_by_itself(found):
    names = ("route", "measure", "step", "reference")
    rows = found.pathways.to_pylist()
    for family in {tuple(row[name] for name in names) for row in rows}:
        mine = [row for row in rows if tuple(row[name] for name in names) == family]
        q = adjust(np.array([np.nan if row["p"] is None else row["p"] for row in mine])).q
        assert [row["q"] for row in mine] == [None if np.isnan(value) else pytest.approx(value) for value in q]


def test_the_page_names_it_first(found):
    told = lines(found.summary)
    place = next(i for i, line in enumerate(told) if line.startswith("downstream, teacher_forced, last_prompt"))
    assert "1 pathways of" in told[place]
    assert told[place + 1].strip().startswith("L0-1 -> L2-5")
    assert told[place + 1].endswith("pathway")
