import importlib.util

import pytest

from causeway.ports.models.torch_logits import require_torch


def test_without_torch_the_flag_is_refused_with_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "torch" else object())
    with pytest.raises(ValueError, match=r"--verify: .*torch, not installed here; pip install torch, or leave"):
        require_torch("--verify")
