"""Sites under the names of Hugging Face modules, as training libraries write them.

    model.layers.10      the block: reads resid_pre, writes resid_post
    layers.10.mlp        its MLP: reads mlp_in, writes mlp_out
    layers.10.self_attn  its attention: reads attn_in, writes attn_out
    embed_tokens         the embedding: writes resid_pre of layer 0

A dictionary of a module is on the module's output (which `parse_site` knows under every family's prefix); a transcoder
of it goes from its input to its output.
"""

from causeway.engine.intervention.sites import Site, parse_site

EMBEDDINGS = ("embed_tokens", "model.embed_tokens", "embed_in", "gpt_neox.embed_in")
INPUTS = {"resid_post": "resid_pre", "mlp_out": "mlp_in", "attn_out": "attn_in"}


def is_module(name: str) -> bool:
    """Whether a name is one that is read here."""
    try:
        module_output(name)
    except ValueError:
        return False
    return True


def module_output(name: str) -> Site:
    """Where a module writes.

    Raises:
        ValueError: not a module known here.
    """
    return Site(0, "resid_pre") if name in EMBEDDINGS else parse_site(name)


def module_input(name: str) -> Site:
    """Where a module reads.

    Raises:
        ValueError: not a module known here, or the embedding, which reads tokens.
    """
    written = module_output(name)
    if written.stream not in INPUTS:
        raise ValueError(f"module: {name!r} writes {written}; inputs are known of {', '.join(INPUTS)}")
    return Site(written.layer, INPUTS[written.stream])
