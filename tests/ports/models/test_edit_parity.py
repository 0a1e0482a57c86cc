"""Edits of units and edges of every family, against torch with a hook at the module that makes them."""

import numpy as np
import pytest

from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.checks import check_edits
from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.requests import PatternEdit, UnitEdit
from causeway.engine.model.forward import run
from causeway.ports.models.load import load_model
from tests.ports.models.test_family_parity import make

LAYER, IDS = 1, list(range(3, 14))
FAMILIES = ("gpt2", "llama", "qwen3", "gpt_neox", "gemma2")
SOME = [pytest.param(name, marks=() if name in ("gpt2", "qwen3") else pytest.mark.slow) for name in FAMILIES]
ATTENTION = {"gpt2": "transformer.h.1.attn", "gpt_neox": "gpt_neox.layers.1.attention"}
OUTPUT = {"gpt2": "c_proj", "gpt_neox": "dense"}
DOWN = {"gpt2": "transformer.h.1.mlp.c_proj", "gpt_neox": "gpt_neox.layers.1.mlp.dense_4h_to_h"}
CASES = {
    "head": UnitEdit(LAYER, 1), "query": UnitEdit(LAYER, 1, 2.0, "scale", stream="query"),
    "key": UnitEdit(LAYER, 0, stream="key", scope=[2, 5]), "value": UnitEdit(LAYER, 1, stream="value"),
    "neuron": UnitEdit(LAYER, 5, 1.5, "set", stream="mlp_act"), "edge": PatternEdit(LAYER, 2, -1, slice(1, 4)),
}  # fmt: skip


def scaled(x, at, factor):
    out = x.clone()
    out[at] = out[at] * factor
    return out


def torch_logits(model, family, name, config, monkeypatch):
    """Logits of the torch model with that case's edit made by a hook; None: as it is."""
    import torch

    modules, k = dict(model.named_modules()), config.head_dim
    attention = ATTENTION.get(family, f"model.layers.{LAYER}.self_attn")
    handles = []
    if name in ("head", "neuron"):
        module = f"{attention}.{OUTPUT.get(family, 'o_proj')}"
        module = module if name == "head" else DOWN.get(family, f"model.layers.{LAYER}.mlp.down_proj")

        def before(_, args):
            out = args[0].clone()
            if name == "head":
                out[..., k : 2 * k] = 0
            else:
                out[..., 5] = 1.5
            return (out,)

        handles.append(modules[module].register_forward_pre_hook(before))
    elif name == "edge":
        softmax, calls = torch.nn.functional.softmax, []

        def edited(scores, *args, **options):
            calls.append(0)
            pattern = softmax(scores, *args, **options)
            return scaled(pattern, (slice(None), 2, -1, slice(1, 4)), 0) if len(calls) == LAYER + 1 else pattern

        monkeypatch.setattr(torch.nn.functional, "softmax", edited)
    elif name:
        unit, factor = (0 if name == "key" else 1), (2.0 if name == "query" else 0.0)
        tokens = [2, 5] if name == "key" else slice(None)
        part = ("query", "key", "value").index(name)

        def after(_, args, output):
            if output.ndim == 4:  # behind the norm of queries and keys
                return scaled(output, (slice(None), tokens, unit), factor)
            start = unit * k
            if family == "gpt2":
                start += part * config.d_model
            if family == "gpt_neox":
                start = unit * 3 * k + part * k
            return scaled(output, (slice(None), tokens, slice(start, start + k)), factor)

        fused = {"gpt2": "c_attn", "gpt_neox": "query_key_value"}
        normed = family == "qwen3" and name != "value"
        module = fused.get(family, f"{name[0]}_norm" if normed else f"{name[0]}_proj")
        handles.append(modules[f"{attention}.{module}"].register_forward_hook(after))
    with torch.no_grad():
        logits = model(torch.tensor([IDS])).logits[0].numpy()
    monkeypatch.undo()
    for handle in handles:
        handle.remove()
    return logits


@pytest.mark.slow
@pytest.mark.parametrize("family", SOME)
def test_unit_and_edge_edits_equal_torch_hooks(family, tmp_path, monkeypatch):
    pytest.importorskip("torch", reason="torch is not installed")
    reference = make(family, tmp_path).float()
    model = load_model(tmp_path)
    edits = edit_arrays([[edit] for edit in CASES.values()], len(IDS), model.config, None)
    check_edits(edits, model.config, None)
    got = np.asarray(run(model.transformer, np.tile(IDS, (len(CASES), 1)), Instruments(bind_all(edits, None))).logits)
    clean = torch_logits(reference, family, None, model.config, monkeypatch)
    for name, logits in zip(CASES, got, strict=True):
        expected = torch_logits(reference, family, name, model.config, monkeypatch)
        np.testing.assert_allclose(logits, expected, atol=1e-5 * np.abs(expected).max(), err_msg=name)
        assert np.abs(expected - clean).max() > 1e-3
