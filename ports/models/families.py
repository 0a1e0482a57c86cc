"""The model families that are read: each is one module.

`read_config` (config.json to `ModelConfig`), `select_tensors` (which tensors count), `name_map` (which tensor is which
parameter) and `MODULES` (what Hugging Face calls the places of its blocks); adding a family is writing such a module
and naming it here.
"""

from types import ModuleType

from causeway.ports.models import gemma2, gemma3, gpt2, gpt_neox, llama, mistral, olmo2, phi3, qwen2, qwen3

# Families that people ask for and that are not read, and what they need.
UNREAD = {
    "smollm3": "layers without rotary positions", "llama4": "experts and attention in chunks",
    "llama4_text": "experts and attention in chunks", "mixtral": "experts", "qwen2_moe": "experts",
    "qwen3_moe": "experts", "olmoe": "experts", "phimoe": "experts", "gpt_oss": "experts and attention sinks",
    "deepseek_v3": "experts and latent attention", "olmo3": "windows beside a full layer's own rotary stretch",
}  # fmt: skip
FAMILIES: dict[str, ModuleType] = {
    "llama": llama, "mistral": mistral, "qwen2": qwen2, "qwen3": qwen3, "gemma2": gemma2, "gemma3_text": gemma3,
    "gemma3": gemma3, "phi3": phi3, "olmo2": olmo2, "gpt2": gpt2, "gpt_neox": gpt_neox,
}  # fmt: skip
