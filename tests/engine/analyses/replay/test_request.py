"""`cw.replay` on the bundled model."""

import pytest

import causeway as cw

GROUPS = {"won": ["game: win $20. balance $150.", "game: win $10. balance $90."], "lost": ["game: loss $20."]}
FEATURES = [{"layer": 1, "feature": 3, "value_won": 4.0}, {"layer": 2, "feature": 7, "value_won": 2.0}]


@pytest.fixture(scope="module")
def loaded():
    model = cw.load_model("bundled:tiny")
    return model, cw.load_dictionaries("bundled:tiny", for_model=model)


@pytest.mark.slow
def test_a_notebook_asks_for_other_targets_than_the_features_themselves(loaded, tmp_path):
    asked = {"features": FEATURES, "targets": [{"layer": 3, "feature": 5}], "trials": 2, "max_new_tokens": 3, "rows": 8}
    found = cw.replay(loaded[0], GROUPS, loaded[1], **asked, workdir=tmp_path)
    assert set(found.pathways["target_layer"].to_pylist()) == {3}
    assert found.pathways.num_rows == 2 * 2 * 2
    assert found.logits is not None
    assert all(isinstance(text, str) for text in found.logits["text"].to_pylist())
    again = cw.replay(loaded[0], GROUPS, loaded[1], **asked, workdir=tmp_path)
    assert again.pathways.equals(found.pathways)
    assert {path.name for path in tmp_path.iterdir()} == {"free", "teacher_forced"}
    assert again.summary["reading"]["random_draws"] == again.summary["reading"]["random_draws_needed"] == 19


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"targets": []}, r"targets: got \[\]; needs the table"),
        ({"targets": [{"layer": 3, "feature": 10**6}]}, "targets: id 1000000 is outside"),
        ({"targets": [{"feature": 3}]}, "targets: got .* needs the table of screen, or rows of layer and feature"),
        ({"arms": ["noop", "patch"]}, "arms: got .* needs baseline too"),
        ({"arms": ["baseline"]}, "arms: got baseline, which set no feature"),
        ({"random_draws": 3}, "random_draws: got 3; a band that 0.05 of random features leave takes 19"),
        ({"trials": 0}, "trials: got 0"),
        ({"max_new_tokens": 0}, "max_new_tokens: got 0"),
        ({"record_logits": -1}, "record_logits: got -1"),
    ],
)
def test_what_cannot_be_replayed_is_refused_before_it_runs(loaded, wrong, said, tmp_path, compilations):
    with compilations() as programs, pytest.raises(ValueError, match=said):
        cw.replay(loaded[0], GROUPS, loaded[1], **{"features": FEATURES} | wrong, workdir=tmp_path / "none")
    assert not [name for name in programs if "decode" in name]
    assert not (tmp_path / "none").exists()
