"""What Hugging Face calls the places of a block; each family's module holds its own table.

A module stands for its output; what it reads is its input. Both are given as streams of the engine, "" where the engine
has none. What attention and MLP write is `attn_raw` and `mlp_raw`, before a norm that a family may put after them;
in families without one these are other names of `attn_out` and `mlp_out`.
"""

import dataclasses
from collections.abc import Mapping

from causeway.engine.intervention.sites import Place


@dataclasses.dataclass(frozen=True)
class ModuleNames:
    """The names of one family.

    Attributes:
        blocks: what stands before a block's number, in the language model and in the model below its head.
        inside: module of a block ("" for the block itself) -> (stream at its input, stream at its output).
        outside: whole names of modules, and of hooks that not all families have, -> their output; None where it is no
            stream of the engine.
        absent: hooks of TransformerLens that stand where the engine has no stream in this family.
    """

    blocks: tuple[str, ...]
    inside: Mapping[str, tuple[str, str]]
    outside: Mapping[str, Place | None]
    absent: tuple[str, ...] = ()
