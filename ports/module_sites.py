"""Sites under the names of Hugging Face modules, as training libraries write them.

    model.layers.10      the block: reads resid_pre, writes resid_post
    layers.10.mlp        its MLP: reads mlp_in, writes mlp_out
    layers.10.self_attn  its attention: reads attn_in, writes attn_out
    embed_tokens         the embedding: writes resid_pre of layer 0

The prefix is each family's own (`model.layers`, `gpt_neox.layers`, `transformer.h`) or left out (`layers`, `h`). A
dictionary of a module is on the module's output; a transcoder of it goes from its input to its output.
"""

import re

from causeway.engine.intervention.sites import Site

MODULE = re.compile(r"(?:model\.|gpt_neox\.|transformer\.)?(?:layers|h)\.(\d+)(?:\.(\w+))?")
EMBEDDINGS = ("embed_tokens", "model.embed_tokens", "embed_in", "gpt_neox.embed_in")
STREAMS = {
    None: ("resid_pre", "resid_post"),
    "mlp": ("mlp_in", "mlp_out"),
    "self_attn": ("attn_in", "attn_out"),
    "attn": ("attn_in", "attn_out"),
    "attention": ("attn_in", "attn_out"),
}


def is_module(name: str) -> bool:
    """Whether a name is one that this module reads."""
    match = MODULE.fullmatch(name)
    return name in EMBEDDINGS or (match is not None and match[2] in STREAMS)


def module_output(name: str) -> Site:
    """Where a module writes.

    Raises:
        ValueError: not a module known here.
    """
    if name in EMBEDDINGS:
        return Site(0, "resid_pre")
    layer, streams = _read(name)
    return Site(layer, streams[1])


def module_input(name: str) -> Site:
    """Where a module reads.

    Raises:
        ValueError: not a module known here, or the embedding, which reads tokens.
    """
    layer, streams = _read(name)
    return Site(layer, streams[0])


def _read(name: str) -> tuple[int, tuple[str, str]]:
    match = MODULE.fullmatch(name)
    if match is None or match[2] not in STREAMS:
        known = ", ".join(["layers.N", *(f"layers.N.{part}" for part in STREAMS if part)])
        raise ValueError(f"module: cannot read {name!r}; known are {known}, also under the families' own prefixes")
    return int(match[1]), STREAMS[match[2]]
