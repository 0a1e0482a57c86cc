"""The programs that are compiled, by name: what builds each of so many layers, and the layers of its whole model; and
whole stages of several programs, of which the seconds are told."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from causeway.engine.bench.compile.frozen import attribute_4b, intervene_4b, pathways_8b, second_order_4b
from causeway.engine.bench.compile.generation import decode_8b, exact_8b
from causeway.engine.bench.compile.workload import EXACT, FAST, LLAMA_LAYERS, QWEN_LAYERS, Workload
from causeway.engine.model.config import Numerics

PROGRAMS: Mapping[str, tuple[Callable[[int], Workload], int]] = MappingProxyType({
    "decode_8b": (decode_8b, LLAMA_LAYERS),
    "exact_8b": (exact_8b, LLAMA_LAYERS),
    "attribute_4b": (attribute_4b, QWEN_LAYERS),
    "intervene_4b": (intervene_4b, QWEN_LAYERS),
    "second_order_4b": (second_order_4b, QWEN_LAYERS),
    "pathways_8b": (pathways_8b, LLAMA_LAYERS),
})  # fmt: skip
# The pathway stage of Llama-3.1-8B, in float32 and as the gambling studies ask for it.
STAGES: Mapping[str, Numerics] = MappingProxyType({"stage_8b": EXACT, "stage_8b_bfloat16": FAST})
