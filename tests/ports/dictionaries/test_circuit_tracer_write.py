"""What is written for circuit-tracer: read back to the bit, and held against the format's own definition."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file

from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig, stack
from causeway.ports.dictionaries.circuit_tracer import find, open_source
from causeway.ports.dictionaries.circuit_tracer_write import save_circuit_tracer
from tests.ports.dictionary_files import cross_layer_of, dictionary_of

D, F, OUT, L = 5, 8, 7, 3


def made(kind, layer, skip):
    """A canonical transcoder."""
    rng = np.random.default_rng(layer)
    shapes = {"W_enc": (D, F), "b_enc": (F,), "W_dec": (F, OUT), "b_dec": (OUT,)}
    shapes |= ({"threshold": (F,)} if kind == "jumprelu" else {}) | ({"W_skip": (D, OUT)} if skip else {})
    config = DictionaryConfig(kind, (layer,), "mlp_in", 3 if kind == "topk_signed" else 0, write_stream="mlp_out")
    return Dictionary(config, **{n: jnp.asarray(rng.normal(size=s), jnp.float32) for n, s in shapes.items()})


def with_config(**changes):
    """A transcoder of layer 0 with another configuration."""
    dictionary = made("relu", 0, False)
    fields = {"kind": "relu", "layers": (0,), "stream": "mlp_in", "write_stream": "mlp_out"} | changes
    arrays = {name: getattr(dictionary, name)[...] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    return Dictionary(DictionaryConfig(**fields), **arrays)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", ["relu", "jumprelu", "topk_signed"])
def test_a_stack_reads_back_to_the_bit(tmp_path, kind, skip):
    written = stack([made(kind, layer, skip) for layer in range(L)])
    files = save_circuit_tracer(tmp_path / "new", written, "org/model", scan="my/scan")
    assert [file.name for file in files] == [*(f"layer_{n}.safetensors" for n in range(L)), "config.yaml"]
    sources = [open_source(place) for place in find(tmp_path / "new").values()]
    read = stack([dictionary_of(source, np.float32) for source in sources])
    assert read.config == written.config
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), read, written)))
    assert sources[0].model_name == "org/model"


def test_what_is_written_is_in_the_formats_orientation(tmp_path):
    """Held against the definition, not against our own reader."""
    dictionary = made("jumprelu", 0, True)
    save_circuit_tracer(tmp_path, dictionary, "org/model")
    tensors = load_file(tmp_path / "layer_0.safetensors")
    x = np.random.default_rng(1).normal(size=(40, D)).astype(np.float32)
    p = x @ tensors["W_enc"].T + tensors["b_enc"]
    features = p * (p > tensors["activation_function.threshold"])
    np.testing.assert_allclose(dictionary.encode(jnp.asarray(x)), features, atol=1e-5)
    expected = features @ tensors["W_dec"] + tensors["b_dec"] + x @ tensors["W_skip"].T
    np.testing.assert_allclose(dictionary.reconstruct(jnp.asarray(x)), expected, atol=1e-5)


@pytest.mark.parametrize("skip", [False, True])
@pytest.mark.parametrize("kind", ["relu", "jumprelu"])
def test_a_cross_layer_transcoder_reads_back_to_the_bit(tmp_path, kind, skip):
    written = cross(kind, skip)
    files = save_circuit_tracer(tmp_path, written, "org/model", storage="float32")
    assert len(files) == 2 * L + 1
    read = cross_layer_of([open_source(place) for place in find(tmp_path).values()], np.float32)
    assert read.config == written.config
    assert all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), read, written)))


def cross(kind, skip):
    rng = np.random.default_rng(0)
    shapes = {"W_enc": (L, D, F), "b_enc": (L, F), "b_dec": (L, OUT)}
    shapes |= ({"threshold": (L, F)} if kind == "jumprelu" else {}) | ({"W_skip": (L, D, OUT)} if skip else {})
    arrays = {n: jnp.asarray(rng.normal(size=s), jnp.float32) for n, s in shapes.items()}
    decoders = tuple(jnp.asarray(rng.normal(size=(F, L - n, OUT)), jnp.float32) for n in range(L))
    config = DictionaryConfig(
        kind, tuple(range(L)), "resid_mid", 3 if kind == "topk_signed" else 0, write_stream="mlp_out"
    )
    return CrossLayerTranscoder(config, W_dec=decoders, **arrays)


def test_bfloat16(tmp_path):
    save_circuit_tracer(tmp_path, made("relu", 0, False), "org/model", storage="bfloat16")
    source = open_source(tmp_path / "layer_0.safetensors")
    assert source.arrays["W_enc"].dtype.name == "bfloat16"


def test_nothing_is_replaced_unasked(tmp_path):
    save_circuit_tracer(tmp_path, made("relu", 0, False), "org/model")
    with pytest.raises(FileExistsError, match=r"config\.yaml: already there; .* overwrite=True"):
        save_circuit_tracer(tmp_path, made("relu", 0, False), "org/model")


def test_replacing_leaves_nothing_of_the_old_set(tmp_path):
    save_circuit_tracer(tmp_path, stack([made("relu", layer, False) for layer in range(L)]), "org/model")
    (tmp_path / "notes.safetensors").touch()
    save_circuit_tracer(tmp_path, made("jumprelu", 0, False), "org/model", overwrite=True)
    assert list(find(tmp_path)) == [0]
    assert open_source(tmp_path / "layer_0.safetensors").config.kind == "jumprelu"
    assert (tmp_path / "notes.safetensors").exists()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: made("relu", 4, False), r"has layers \(4,\); circuit-tracer's sets count from layer 0"),
        (lambda: with_config(kind="topk", k=3), "kind 'topk' with input_norm 'none' has no circuit-tracer form"),
        (lambda: with_config(input_norm="layer_norm"), "input_norm 'layer_norm' has no circuit-tracer form"),
        (lambda: with_config(stream="head_out"), "stream 'head_out' has no circuit-tracer hook"),
        (lambda: cross("topk_signed", False), "written are relu, jumprelu without a norm"),
    ],
)
def test_what_the_format_cannot_hold(tmp_path, make, message):
    with pytest.raises(ValueError, match=message):
        save_circuit_tracer(tmp_path / "new", make(), "org/model")
    assert not (tmp_path / "new").exists()
