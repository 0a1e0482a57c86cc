"""ReLU SAEs of two torch linear layers, under either naming."""

import numpy as np
import pytest

from causeway.ports.dictionaries.goodfire import find, open_source, weights

torch = pytest.importorskip("torch")
D, F = 5, 9
NAMES = {"_linear": "Llama-3.1-8B-Instruct-SAE-l19.pth", "": "DeepSeek-R1-Distill-Llama-8B-SAE-l19.pt"}


def state(suffix, **changes):
    rng = np.random.default_rng(0)
    shapes = {"encoder{}.weight": (F, D), "encoder{}.bias": (F,), "decoder{}.weight": (D, F), "decoder{}.bias": (D,)}
    arrays = {n.format(suffix): torch.tensor(rng.normal(size=s), dtype=torch.float32) for n, s in shapes.items()}
    return arrays | changes


@pytest.mark.parametrize("suffix", NAMES)
def test_the_published_definition(tmp_path, values_of, suffix):
    path = tmp_path / NAMES[suffix]
    torch.save(state(suffix), path)
    assert find(tmp_path) == {19: path}
    assert weights(path) == [path.name]
    source = open_source(path)
    t = {n.replace("_linear", ""): a.double().numpy() for n, a in state(suffix).items()}
    x = np.random.default_rng(1).normal(size=(30, D))
    f = np.maximum(x @ t["encoder.weight"].T + t["encoder.bias"], 0)
    for ours, theirs in zip(values_of(source, x), (f, f @ t["decoder.weight"].T + t["decoder.bias"]), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    assert (source.layer, source.config.kind, source.config.stream) == (19, "relu", "resid_post")
    assert source.model_name == NAMES[suffix].split("-SAE")[0]


def test_a_layer_twice(tmp_path):
    for name in NAMES.values():
        torch.save(state(""), tmp_path / name)
    with pytest.raises(ValueError, match="several dictionaries for layer 19"):
        find(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"decoder.weight": torch.zeros(F, D)}, r"decoder.weight has shape \(9, 5\).* needs \(5, 9\)"),
        ({"extra": torch.zeros(1)}, "no place in a ReLU dictionary of two linear maps: extra"),
        ({"encoder.weight": torch.zeros(3)}, r"has shape"),
    ],
)
def test_refused(tmp_path, changes, message):
    path = tmp_path / NAMES[""]
    torch.save(state("", **changes), path)
    with pytest.raises(ValueError, match=message):
        open_source(path)


def test_a_name_without_a_layer(tmp_path):
    torch.save(state(""), tmp_path / "sae.pt")
    assert find(tmp_path) == {}
    with pytest.raises(ValueError, match=r"does not end in -SAE-l\(layer\)\.pt"):
        open_source(tmp_path / "sae.pt")
