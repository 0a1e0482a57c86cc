"""Three spellings of a place, one site."""

import pytest

from causeway.engine.intervention.sites import Site, parse_site

NAMES = {
    "resid_post.12": ("resid_post.12", "blocks.12.hook_resid_post", "model.layers.12", "layers.12", "transformer.h.12"),
    "resid_pre.0": ("blocks.0.hook_resid_pre",),
    "attn_pattern.3": ("blocks.3.attn.hook_pattern",),
    "head_out.3": ("blocks.3.attn.hook_z",),
    "attn_out.1": ("blocks.1.hook_attn_out", "model.layers.1.self_attn", "h.1.attn", "gpt_neox.layers.1.attention"),
    "mlp_norm.2": ("blocks.2.ln2.hook_normalized",),
    "mlp_in.2": ("blocks.2.mlp.hook_in", "model.layers.2.post_attention_layernorm", "transformer.h.2.ln_2"),
    "mlp_out.2": ("blocks.2.hook_mlp_out", "blocks.2.mlp.hook_out", "model.layers.2.mlp"),
    "mlp_act.2": ("blocks.2.mlp.hook_post",),
}


@pytest.mark.parametrize(("site", "names"), NAMES.items())
def test_aliases_name_the_same_site(site, names):
    for name in names:
        assert str(parse_site(name)) == site


@pytest.mark.parametrize("name", ["resid_post", "blocks.1.hook_nothing", "model.layers.2.lm", "model.layer.2", ""])
def test_unknown_names_are_refused(name, refuses):
    with refuses("site: cannot read"):
        parse_site(name)


def test_unknown_streams_are_refused_with_the_list(refuses):
    with refuses("resid_pre, attn_in"):
        Site(0, "residual")
