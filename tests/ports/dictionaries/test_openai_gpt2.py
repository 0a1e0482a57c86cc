"""OpenAI's autoencoders against their published definition, written out in numpy float64."""

import numpy as np
import pytest

from causeway.ports.dictionaries.openai_gpt2 import NAME, find, open_source, weights

torch = pytest.importorskip("torch")
D, F, K = 6, 11, 3
TOPK = {"activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "ReLU"}}


def state(**changes):
    rng = np.random.default_rng(0)
    shapes = {"pre_bias": (D,), "encoder.weight": (F, D), "latent_bias": (F,), "decoder.weight": (D, F)}
    arrays = {name: torch.tensor(rng.normal(size=shape), dtype=torch.float32) for name, shape in shapes.items()}
    statistics = {"stats_last_nonzero": torch.zeros(F, dtype=torch.long), "latents_mean_square": torch.ones(F)}
    return arrays | statistics | {"latents_activation_frequency": torch.ones(F), "activation": "ReLU"} | changes


def write(root, contents, location="resid_post_mlp_v5_32k", layer=8):
    path = root / location / "autoencoders" / f"{layer}.pt"
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(contents, path)
    return path


def published(contents, x):
    t = {n: a.double().numpy() for n, a in contents.items() if hasattr(a, "double")}
    topk = contents["activation"] == "TopK"
    mean, std = x.mean(-1, keepdims=True), x.std(-1, keepdims=True, ddof=1)
    inner = (x - mean) / (std + 1e-5) if topk else x
    p = (inner - t["pre_bias"]) @ t["encoder.weight"].T + t["latent_bias"]
    if topk:
        options = contents["activation_state_dict"]
        kept = np.argsort(-p, axis=-1)[:, : options["k"]]
        mask = np.zeros_like(p, bool)
        np.put_along_axis(mask, kept, True, -1)
        p = np.where(mask, p, 0)
    f = p if topk and options["postact_fn"] == "Identity" else np.maximum(p, 0)
    y = f @ t["decoder.weight"].T + t["pre_bias"]
    return f, y * std + mean if topk else y


@pytest.mark.parametrize(
    ("activation", "kind"),
    [
        ({}, "relu"),
        (TOPK, "topk"),
        ({"activation": "TopK", "activation_state_dict": {"k": K, "postact_fn": "Identity"}}, "topk_signed"),
    ],
)
def test_the_published_definition(tmp_path, values_of, activation, kind):
    contents = state(**activation)
    source = open_source(write(tmp_path, contents))
    x = 3 * np.random.default_rng(1).normal(size=(50, D)) + 1
    for ours, theirs in zip(values_of(source, x), published(contents, x), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    config = source.config
    assert (source.format, config.kind, config.k, config.layers) == (NAME, kind, K if activation else 0, (8,))
    assert config.input_norm == ("layer_norm" if activation else "none")
    assert (source.num_features, source.d_in, source.d_out, source.model_name) == (F, D, D, "gpt2")


@pytest.mark.parametrize(
    ("location", "stream"),
    [
        ("mlp_post_act", "mlp_act"),
        ("resid_delta_mlp_v4", "mlp_out"),
        ("resid_delta_attn_v5_128k", "attn_out"),
        ("resid_post_attn_v5_32k", "resid_mid"),
        ("resid_post_mlp_v5_32k", "resid_post"),
    ],
)
def test_places(tmp_path, location, stream):
    paths = {layer: write(tmp_path, state(), location, layer) for layer in (0, 11)}
    for root in (tmp_path, tmp_path / location, tmp_path / location / "autoencoders"):
        assert find(root) == paths
    assert open_source(paths[11]).config.stream == stream
    assert open_source(paths[11]).layer == 11
    assert weights(paths[11]) == ["11.pt"]


def test_the_version_speaks_for_a_converted_file(tmp_path, values_of):
    """Safetensors have no room for the activation; v5 was TopK(32)."""
    from safetensors.torch import save_file

    path = write(tmp_path, state())
    save_file({n: a for n, a in state().items() if hasattr(a, "dtype")}, path.with_suffix(".safetensors"))
    assert find(tmp_path) == {8: path}
    assert weights(path) == ["8.safetensors"]
    source = open_source(path)
    assert (source.config.kind, source.config.k, source.config.input_norm) == ("topk", 32, "layer_norm")
    path.unlink()
    assert find(tmp_path) == {8: path.with_suffix(".safetensors")}


def test_other_folders_are_not_of_this_format(tmp_path):
    torch.save(state(), tmp_path / "8.pt")
    (tmp_path / "unknown" / "autoencoders").mkdir(parents=True)
    torch.save(state(), tmp_path / "unknown" / "autoencoders" / "8.pt")
    assert find(tmp_path) == {}


def test_a_layer_at_two_locations(tmp_path):
    write(tmp_path, state(), "resid_post_mlp_v5_32k")
    write(tmp_path, state(), "resid_delta_mlp_v5_32k")
    with pytest.raises(ValueError, match="several dictionaries for layer 8"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": "Gelu"}, "activation 'Gelu' .* is not read; read are ReLU, and TopK"),
        ({"activation": "TopK", "activation_state_dict": {"k": 3, "postact_fn": "Tanh"}}, "'Tanh'.* is not read"),
        ({"activation": "TopK", "activation_state_dict": {"k": 0, "postact_fn": "ReLU"}}, "is not read"),
        ({"decoder.weight": torch.zeros(D, F + 1)}, r"decoder.weight has shape \(6, 12\).* needs \(6, 11\)"),
        ({"extra": torch.zeros(2)}, "have no place in an OpenAI autoencoder: extra"),
        ({"encoder.weight": torch.zeros(3)}, "needs a matrix encoder.weight"),
    ],
)
def test_refused(tmp_path, changes, message):
    path = write(tmp_path, state(**changes))
    with pytest.raises(ValueError, match=message):
        open_source(path)


def test_missing_and_misplaced(tmp_path):
    contents = state()
    del contents["latent_bias"]
    with pytest.raises(ValueError, match="missing: latent_bias"):
        open_source(write(tmp_path, contents))
    torch.save(state(), tmp_path / "8.pt")
    with pytest.raises(ValueError, match=r"not under \{location\}/autoencoders/"):
        open_source(tmp_path / "8.pt")


def test_values_that_are_not_finite(tmp_path):
    source = open_source(write(tmp_path, state(**{"decoder.weight": torch.full((D, F), torch.nan)})))
    with pytest.raises(ValueError, match=r"8\.pt: tensor decoder.weight has 6 of 6 values that are not finite"):
        source.arrays["W_dec"].read(2, 3)
