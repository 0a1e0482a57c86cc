"""Gemma Scope (params.npz) against its own definition, written out in numpy float64."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.ports.dictionaries.gemma_scope import find, open_source, weights
from tests.ports.dictionary_files import dictionary_of

D, F, OUT = 5, 8, 7
FOLDER = "layer_3/width_16k/average_l0_59"
RNG = np.random.default_rng(0)
TENSORS = {
    "W_enc": RNG.normal(size=(D, F)), "b_enc": RNG.normal(size=F), "W_dec": RNG.normal(size=(F, D)),
    "b_dec": RNG.normal(size=D), "threshold": np.abs(RNG.normal(size=F)),
}  # fmt: skip


def write(root, path, tensors=None):
    place = root / path / "params.npz"
    place.parent.mkdir(parents=True, exist_ok=True)
    np.savez(place, **(TENSORS if tensors is None else tensors))
    return place


def definition(x, factor=1.0):
    """(feature values, reconstruction)."""
    p = x @ (TENSORS["W_enc"] / factor) + TENSORS["b_enc"]
    f = p * (p > TENSORS["threshold"])
    return f, f @ (TENSORS["W_dec"] * factor) + TENSORS["b_dec"]


@pytest.mark.parametrize("lower", [False, True])
@pytest.mark.parametrize("folder", [FOLDER, "embedding/width_4k/average_l0_6"])
def test_values_and_reconstructions(tmp_path, folder, lower):
    tensors = {name.lower() if lower else name: t for name, t in TENSORS.items()}
    source = open_source(write(tmp_path / "gemma-scope-2b-pt-transcoders", folder, tensors))
    x = np.random.default_rng(1).normal(size=(200, D))
    features, reconstruction = definition(x, math.sqrt(D) if folder.startswith("embedding") else 1)
    assert 0.02 < (features != 0).mean() < 0.98
    with jax.enable_x64(True):
        dictionary = dictionary_of(source, np.float64)
        ours = dictionary.encode(jnp.asarray(x))
        np.testing.assert_allclose(ours, features, atol=1e-9)
        np.testing.assert_allclose(dictionary.decode(ours), reconstruction, atol=1e-9)


def test_a_feature_at_its_threshold_is_off(tmp_path):
    tensors = {name: np.zeros_like(t) for name, t in TENSORS.items()} | {"threshold": np.full(F, 0.3, np.float32)}
    tensors["b_enc"] = np.array([0.3, np.nextafter(np.float32(0.3), 1), 0.29, 0, 0, 0, 0, 0], np.float32)
    source = open_source(write(tmp_path / "gemma-scope-9b-pt-res", FOLDER, tensors))
    values = dictionary_of(source, np.float32).encode(jnp.zeros(D))
    np.testing.assert_array_equal(values != 0, [False, True, False, False, False, False, False, False])


@pytest.mark.parametrize(
    ("repository", "folder", "streams", "size"),
    [
        ("gemma-scope-2b-pt-res", FOLDER, (3, "resid_post", "resid_post"), "2b"),
        ("gemma-scope-9b-it-res", FOLDER, (3, "resid_post", "resid_post"), "9b-it"),
        ("gemma-scope-27b-pt-mlp", FOLDER, (3, "mlp_out", "mlp_out"), "27b"),
        ("gemma-scope-2b-pt-att", FOLDER, (3, "head_out", "head_out"), "2b"),
        ("gemma-scope-2b-pt-transcoders", FOLDER, (3, "mlp_norm", "mlp_out"), "2b"),
        ("gemma-scope-2b-pt-res", "embedding/width_4k/average_l0_6", (0, "resid_pre", "resid_pre"), "2b"),
        ("models--google--gemma-scope-2b-pt-att/snapshots/1f", FOLDER, (3, "head_out", "head_out"), "2b"),
    ],
)  # fmt: skip
def test_the_path_says_what_it_is_on(tmp_path, repository, folder, streams, size):
    source = open_source(write(tmp_path / repository, folder))
    assert (source.layer, source.config.stream, source.config.output_stream) == streams
    assert source.model_name == f"google/gemma-2-{size}"
    assert source.card["l0"] == (6 if "embedding" in folder else 59)
    assert (source.num_features, source.d_in, source.d_out) == (F, D, D)


def test_widths_of_what_is_read_and_written(tmp_path):
    """A transcoder's may differ; those of an SAE are of one stream."""
    tensors = TENSORS | {"W_dec": np.zeros((F, OUT)), "b_dec": np.zeros(OUT)}
    source = open_source(write(tmp_path / "gemma-scope-2b-pt-transcoders", FOLDER, tensors))
    assert (source.num_features, source.d_in, source.d_out) == (F, D, OUT)
    with pytest.raises(ValueError, match=r"params\.npz: encodes resid_post 5 wide and decodes it 7 wide; a file is"):
        open_source(write(tmp_path / "gemma-scope-2b-pt-res", FOLDER, tensors))


def test_a_copy_elsewhere_needs_its_site_named(tmp_path):
    place = write(tmp_path / "copy", FOLDER)
    with pytest.raises(
        ValueError, match=r"what it is on is in its repository's name alone; .* name the site \(res, mlp"
    ):
        open_source(place)
    source = open_source(place, site="mlp")
    assert (source.config.stream, source.model_name) == ("mlp_out", "")
    with pytest.raises(ValueError, match="site: got 'neurons'; needs one of res, mlp, att, transcoders"):
        open_source(place, site="neurons")


def test_find(tmp_path):
    root = tmp_path / "gemma-scope-2b-pt-res"
    places = {layer: write(root, f"layer_{layer}/width_16k/average_l0_71") for layer in (2, 10)}
    assert find(root) == places
    assert find(root / "layer_10") == {10: places[10]}
    assert weights(places[2]) == ["params.npz"]
    write(root, "layer_2/width_65k/average_l0_71")
    with pytest.raises(ValueError, match=r"several dictionaries for layer 2 .*width_16k.*width_65k.*; name one folder"):
        find(root)


def test_folders_with_other_names_are_refused(tmp_path):
    write(tmp_path, "gemma-scope-2b-pt-res/third/big")
    with pytest.raises(ValueError, match=r"params\.npz: its layer is in the names of the folders alone"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("threshold"), "missing: threshold"),
        (lambda t: t.pop("W_enc"), "missing: W_enc"),
        (lambda t: t.update(extra=np.zeros(3)), "no place in a Gemma Scope dictionary: extra"),
        (lambda t: t.update(W_dec=np.zeros((OUT, F))), r"W_dec has shape \(7, 8\); .* needs \(8, 8\)"),
        (lambda t: t.update(threshold=np.zeros(F, np.int32)), "tensor threshold holds int32"),
        (lambda t: t.update(b_dec=np.zeros((OUT, 1))), r"tensor b_dec has shape \(7, 1\)"),
    ],
)  # fmt: skip
def test_refused_tensors(tmp_path, change, message):
    tensors = dict(TENSORS)
    change(tensors)
    with pytest.raises(ValueError, match=message):
        open_source(write(tmp_path / "gemma-scope-2b-pt-res", FOLDER, tensors))


def test_values_not_finite_are_named_when_they_are_read(tmp_path):
    tensors = {name: t.copy() for name, t in TENSORS.items()}
    tensors["W_enc"][2, 5] = np.inf
    arrays = open_source(write(tmp_path / "gemma-scope-2b-pt-res", FOLDER, tensors)).arrays
    arrays["W_enc"].read(0, 5)
    with pytest.raises(ValueError, match=r"params\.npz: tensor W_enc has 1 of 15 values that are not finite"):
        arrays["W_enc"].read(5, F)
