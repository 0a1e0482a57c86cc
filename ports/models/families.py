"""The model families that are read: each is one module.

`read_config` (config.json to `ModelConfig`), `select_tensors` (which tensors count), `name_map` (which tensor is which
parameter) and `MODULES` (what Hugging Face calls the places of its blocks); adding a family is writing such a module
and naming it here.
"""

from types import ModuleType

from causeway.ports.models import gemma2, gpt2, gpt_neox, llama, qwen3

FAMILIES: dict[str, ModuleType] = {
    "llama": llama, "qwen3": qwen3, "gpt2": gpt2, "gpt_neox": gpt_neox, "gemma2": gemma2,
}  # fmt: skip
