"""Qwen Scope against its definition, written out in numpy float64."""

import numpy as np
import pytest

from causeway.ports.dictionaries.qwen_scope import find, open_source, weights

torch = pytest.importorskip("torch")
D, F, K = 4, 1024, 50
FOLDER = f"SAE-Res-Qwen3-1.7B-Base-W1K-L0_{K}"


def state(**changes):
    rng = np.random.default_rng(0)
    shapes = {"W_enc": (F, D), "W_dec": (D, F), "b_enc": (F,), "b_dec": (D,)}
    return {n: torch.tensor(rng.normal(size=s), dtype=torch.bfloat16) for n, s in shapes.items()} | changes


def write(folder, layer=3, **changes):
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"layer{layer}.sae.pt"
    torch.save({n: t for n, t in state(**changes).items() if t is not None}, path)
    return path


def test_the_published_definition(tmp_path, values_of):
    source = open_source(write(tmp_path / FOLDER))
    t = {n: a.double().numpy() for n, a in state().items()}
    x = np.random.default_rng(1).normal(size=(20, D))
    p = np.maximum(x @ t["W_enc"].T + t["b_enc"], 0)
    kth = np.sort(p, axis=-1)[:, -K][:, None]
    f = np.where(p >= kth, p, 0)
    for ours, theirs in zip(values_of(source, x), (f, f @ t["W_dec"].T + t["b_dec"]), strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-9)
    assert (source.config.kind, source.config.k, source.layer, source.config.stream) == ("topk", K, 3, "resid_post")
    assert (source.model_name, source.card) == ("Qwen/Qwen3-1.7B-Base", {"l0": K})
    assert source.arrays["W_enc"].dtype == "bfloat16"


@pytest.mark.parametrize("folder", [FOLDER, f"models--Qwen--{FOLDER}/snapshots/{'a' * 40}", f"{FOLDER}/copy"])
def test_where_the_name_is(tmp_path, folder):
    """In the hub's cache the name of the repository is two folders up."""
    paths = {layer: write(tmp_path / folder, layer) for layer in (0, 27)}
    assert find(tmp_path / folder) == paths
    source = open_source(paths[27])
    assert (source.config.k, source.layer, source.model_name) == (K, 27, "Qwen/Qwen3-1.7B-Base")
    assert weights(paths[27]) == ["layer27.sae.pt"]


def test_a_conversion_beside_or_alone(tmp_path):
    from safetensors.torch import save_file

    path = write(tmp_path / FOLDER)
    save_file(state(), path.with_suffix(".safetensors"))
    assert find(path.parent) == {3: path}
    path.unlink()
    assert find(path.parent) == {3: path}
    assert weights(path) == ["layer3.sae.safetensors"]
    assert open_source(path).files == (path.with_suffix(".safetensors"),)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"W_dec": torch.zeros(F, D)}, r"W_dec has shape \(1024, 4\).* needs \(4, 1024\)"),
        ({"W_enc": torch.zeros(F + 1, D)}, r"W_enc has shape \(1025, 4\)"),
        ({"b_dec": None}, "missing: b_dec"),
        ({"threshold": torch.zeros(F)}, r"no place in a dictionary of 1024 features \(W1K in the path\): threshold"),
    ],
)
def test_refused(tmp_path, changes, message):
    path = write(tmp_path / FOLDER, **changes)
    with pytest.raises(ValueError, match=message):
        open_source(path)


def test_a_folder_that_does_not_say_k(tmp_path):
    with pytest.raises(ValueError, match=r"no folder of its path ends in .*; k is written nowhere else"):
        open_source(write(tmp_path / "mine"))


def test_other_folders_are_not_of_this_format(tmp_path):
    torch.save({}, tmp_path / "model.pt")
    assert find(tmp_path) == {}
