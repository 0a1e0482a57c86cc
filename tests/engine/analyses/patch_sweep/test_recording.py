"""What a sweep records: the layout promised to the store is what a unit returns, whatever is recorded."""

import numpy as np
import pyarrow as pa
import pytest

from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.patch_sweep.recording import make_recording, selected_ids
from causeway.engine.analyses.patch_sweep.sampled_units import sampled_unit

FEW = pa.table({"layer": [2, 2, 0], "feature": [9, 4, 17]})


@pytest.fixture(scope="module")
def features(tiny_sweep):
    return tiny_sweep.make_features()


def test_selected_ids_are_sorted_and_padded(refuses):
    ids = selected_ids((0, 2, 5), {2: [9, 4, 9], 0: [17], 7: [1, 2, 3]})
    assert ids.tolist() == [[17, -1], [4, 9], [-1, -1]]
    with refuses("record_features: no feature in any layer"):
        selected_ids((0, 2), {1: [3]})


def test_what_can_be_asked_for(dictionary, features):
    nothing = make_recording("", dictionary, features, 0)
    assert not nothing.arrays(4, 24)
    top = make_recording("top:3", dictionary, features, 0)
    assert (top.reader, top.width, top.layers) == ("top_k", 3, (0, 2))
    patched = make_recording("patched", dictionary, features, 0)
    assert patched.ids.tolist() == [[3, 11, 20], [1, 7, 12]]
    assert make_recording(FEW, dictionary, features, 0).ids.tolist() == [[17, -1], [4, 9]]
    assert make_recording("all", dictionary, features, 0).arrays(4, 24)["values"].row_shape == (4, 2, 24)


def test_what_cannot_be_recorded_is_refused(dictionary, features, refuses):
    for text in ("top:0", "top:25", "top:", "top:x"):
        with refuses(f"record_features: got '{text}'; top:K needs K in 1..24"):
            make_recording(text, dictionary, features, 0)
    with refuses("id 24 is outside"):
        make_recording(pa.table({"layer": [0], "feature": [24]}), dictionary, features, 0)
    with refuses("layer"):
        make_recording(pa.table({"layer": [1], "feature": [2]}), dictionary, features, 0)


@pytest.mark.parametrize(("record", "top_logits"), [("", 0), ("", 2), ("top:3", 0), ("patched", 2)], ids=str)
def test_a_unit_returns_what_the_plan_promised_the_store(tiny_sweep, make_sweep, record, top_logits):
    sweep = make_sweep(
        "sampled", ("patch",), record=record, top_logits=top_logits, trials=1, segments=(2,),
        prompts=tiny_sweep.make_prompts(1),
    )  # fmt: skip
    specs, arrays = sweep.plan.layout.arrays, sampled_unit(sweep, 0).arrays
    assert arrays.keys() == specs.keys()
    for name, spec in specs.items():
        assert arrays[name].shape == (sweep.plan.unit_rows[0], *spec.row_shape)
        assert arrays[name].dtype == spec.dtype


@pytest.mark.slow
def test_readers_agree_on_what_they_read(tiny_sweep, make_sweep, dictionary, features):
    """Selected, padded and strongest features are entries of all features."""

    def arrays(**recording):
        sweep = make_sweep(
            "sampled", ("patch",), trials=1, segments=(2,), prompts=tiny_sweep.make_prompts(1), **recording
        )
        return sampled_unit(sweep, 0).arrays

    every, top = (arrays(record=record) for record in ("all", "top:3"))
    ordered = -np.sort(-every["values"], axis=-1)[..., :3]
    np.testing.assert_allclose(top["values"], ordered, atol=1e-6)
    taken = np.take_along_axis(every["values"], top["ids"], axis=-1)
    np.testing.assert_allclose(top["values"], taken, atol=1e-6)
    few = arrays(recording=make_recording(FEW, dictionary, features, 0))["values"]
    assert not few[:, :, 0, 1].any(), "padding is zero"
    np.testing.assert_allclose(few[:, :, 0, 0], every["values"][:, :, 0, 17], atol=1e-6)
    np.testing.assert_allclose(few[:, :, 1], every["values"][:, :, 1, [4, 9]], atol=1e-6)
    assert few[:, :, 1].any()


def test_the_notes_beside_the_data_say_what_they_are(dictionary, features):
    spec = make_recording("patched", dictionary, features, 0).arrays(4, 24)["values"]
    assert spec.axes == ("step", "layer", "feature")
    assert spec.attributes["layers"] == [0, 2]
    assert spec.attributes["features"] == [[3, 11, 20], [1, 7, 12]]
    assert "scale" in spec.attributes["unit"]


def test_recorded_and_patched_features_are_two_things(make_sweep, dictionary):
    other = FeatureSet(np.array([0]), np.array([23]), {})
    sweep = make_sweep("sampled", ("patch",), recording=make_recording("patched", dictionary, other, 0))
    assert sweep.settings.recording.ids.tolist() == [[23], [-1]]
    assert 23 not in sweep.features.feature
