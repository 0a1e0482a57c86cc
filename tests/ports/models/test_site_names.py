"""Where each name of another library stands, for every family: against torch's own modules, hooked by name."""

import numpy as np
import pytest

import causeway as cw
from causeway.engine.intervention.sites import STREAMS, Place
from causeway.ports.dictionaries import sparsify
from causeway.ports.models.families import FAMILIES
from causeway.ports.models.load import load_model
from causeway.ports.models.site_names import ANY_MODEL, HOOK_OF, HOOKS, names_of
from tests.ports.dictionaries import test_sparsify
from tests.ports.models.test_family_parity import VARIANTS, make

LAYER = 1
CASES = {
    "llama": ("llama", "biases"), "qwen3": ("qwen3", "untied"), "gpt2": ("gpt2", "plain"),
    "gpt_neox": ("gpt_neox", "plain"), "gpt_neox, sequential": ("gpt_neox", "sequential"),
    "gemma2": ("gemma2", "plain"), "gemma3": ("gemma3", "plain"), "qwen2": ("qwen2", "plain"),
    "mistral": ("mistral", "plain"), "phi3": ("phi3", "plain"), "olmo2": ("olmo2", "plain"),
}  # fmt: skip
IDS = list(range(3, 14))
# TransformerLens hooks of a block and the ends of Hugging Face modules there (transformer_lens.components: hook_z and
# hook_pattern in attention, hook_attn_out behind ln1_post, hook_mlp_out behind ln2_post, hook_normalized before w).
ATTENTION = dict.fromkeys(FAMILIES, "self_attn") | {"gpt2": "attn", "gpt_neox": "attention"}
LAST = {"gpt2": "c_proj", "gpt_neox": "dense"}
# What reads resid_mid.
NORM = {
    "gpt2": "ln_2", "gemma2": "pre_feedforward_layernorm", "gemma3": "pre_feedforward_layernorm", "olmo2": "mlp",
}  # fmt: skip
POST_NORMS, NORMED_HEADS = ("gemma2", "gemma3", "olmo2"), ("qwen3", "gemma3", "olmo2")
DOWN = {"gpt2": "c_proj", "gpt_neox": "dense_4h_to_h"}


class Recorded:
    """One family's random model, run by torch with a hook at every module's input and output, and by the engine."""

    def __init__(self, case: str, folder):
        import torch

        family, variant = CASES[case]
        torch_model = make(family, folder, **VARIANTS[family][variant]).float()
        self.family, self.modules, self.ends = family, dict(torch_model.named_modules()), {}
        for name, module in self.modules.items():
            module.register_forward_hook(self._keep(name), with_kwargs=True)
        with torch.no_grad():
            torch_model(torch.tensor([IDS]), output_attentions=True)
        self.model = load_model(folder)
        self.names = names_of(self.model.config)
        streams = [stream for stream in STREAMS if stream not in self.model.config.unformed_streams]
        records = cw.run(self.model, IDS, taps=streams).records
        self.streams = {stream: record[0].values for stream, record in zip(streams, records, strict=True)}

    def _keep(self, name: str):
        def keep(_, args, kwargs, output):
            given = args[0] if args else kwargs.get("hidden_states")
            given_out = output if hasattr(output, "detach") else output[0]
            if given_out.ndim == 4 and given_out.shape[1] != len(IDS):  # Gemma-3 has heads before tokens
                given_out = given_out.transpose(1, 2)
            self.ends[f"{name}.input"] = None if given is None else given[0].numpy()
            self.ends[f"{name}.output"] = given_out[0].reshape(len(given_out[0]), -1).numpy()
            if isinstance(output, tuple) and output[-1] is not None:
                self.ends[f"{name}.pattern"] = output[-1][0].numpy()

        return keep

    def ours(self, name: str) -> np.ndarray:
        """What the engine records at a place, heads side by side."""
        stream, layer = self.names.place(name)
        values = self.streams[stream][layer or 0]
        return values if stream == "attn_pattern" else values.reshape(len(IDS), -1)

    def heads(self) -> dict[str, np.ndarray]:
        """Queries, keys and values of all heads before rotation and norms, side by side, as the modules give them."""
        config, attention = self.model.config, ATTENTION[self.family]
        sizes = [config.width(stream) for stream in ("query", "key", "value")]
        if self.family == "gpt2":
            parts = np.split(self.ends[self.block("attn.c_attn") + ".output"], np.cumsum(sizes)[:2], axis=-1)
        elif self.family == "phi3":
            joined = self.ends[self.block("self_attn.qkv_proj") + ".output"]
            parts = np.split(joined, np.cumsum(sizes)[:2], axis=-1)
        elif self.family == "gpt_neox":
            joined = self.ends[self.block("attention.query_key_value") + ".output"]
            parts = np.split(joined.reshape(len(IDS), config.num_heads, -1), 3, axis=-1)
        else:
            parts = [self.ends[self.block(f"{attention}.{x}_proj") + ".output"] for x in "qkv"]
        return {f"attn.hook_{x}": part.reshape(len(IDS), -1) for x, part in zip("qkv", parts, strict=True)}

    def block(self, module: str) -> str:
        return ".".join([FAMILIES[self.family].MODULES.blocks[0], str(LAYER), *filter(None, [module])])


@pytest.fixture(scope="module", params=CASES)
def recorded(request, tmp_path_factory):
    pytest.importorskip("torch", reason="torch is not installed")
    return Recorded(request.param, tmp_path_factory.mktemp("model"))


def close(got, want, name):
    np.testing.assert_allclose(got, want, atol=2e-4, rtol=1e-4, err_msg=name)


def test_modules_of_hugging_face_stand_where_torch_hooks_them(recorded):
    table = FAMILIES[recorded.family].MODULES
    for module, ends in table.inside.items():
        name = recorded.block(module)
        assert name in recorded.modules
        for end, stream in zip(("input", "output"), ends, strict=True):
            if not stream:
                with pytest.raises(ValueError, match=f"{module}.*is no stream in a {recorded.family}"):
                    recorded.names.place(f"{name}.{end}")
            elif stream == "resid_mid" and recorded.model.config.parallel_blocks:
                with pytest.raises(ValueError, match="has no resid_mid"):
                    recorded.names.place(f"{name}.{end}")
            else:
                close(recorded.ours(f"{name}.{end}"), recorded.ends[f"{name}.{end}"], f"{name}.{end}")
        if ends[1]:
            assert recorded.names.place(name) == recorded.names.place(f"{name}.output")
            below = name.replace(table.blocks[0], table.blocks[1])
            assert recorded.names.place(name) == recorded.names.place(below)


def test_modules_outside_blocks_stand_where_torch_hooks_them(recorded):
    for name, place in FAMILIES[recorded.family].MODULES.outside.items():
        if place is None:
            with pytest.raises(ValueError, match="is no stream"):
                recorded.names.place(name)
        elif name in recorded.modules:
            close(recorded.ours(name), recorded.ends[f"{name}.output"], name)


def test_hooks_of_transformer_lens_stand_at_the_equivalent_modules(recorded):
    family, parallel = recorded.family, recorded.model.config.parallel_blocks
    attention = ATTENTION[family]
    norm = recorded.block(NORM.get(family, "post_attention_layernorm"))
    out = {"hook_attn_out": attention, "hook_mlp_out": "mlp"}
    if family in POST_NORMS:
        out = {"hook_attn_out": "post_attention_layernorm", "hook_mlp_out": "post_feedforward_layernorm"}
    equivalent = {hook: f"{recorded.block(module)}.output" for hook, module in out.items()} | {
        "hook_resid_pre": recorded.block("") + ".input", "hook_resid_post": recorded.block("") + ".output",
        "attn.hook_z": recorded.block(f"{attention}.{LAST.get(family, 'o_proj')}.input"),
        "attn.hook_out": recorded.block(attention) + ".output", "mlp.hook_out": recorded.block("mlp") + ".output",
        "mlp.hook_in": recorded.block("mlp") + ".input", "hook_resid_mid": f"{norm}.input",
        "hook_mlp_in": f"{norm}.input", "mlp.hook_post": recorded.block(f"mlp.{DOWN.get(family, 'down_proj')}.input"),
        "attn.hook_pattern": recorded.block(attention) + ".pattern",
    }  # fmt: skip
    heads = recorded.heads()
    assert set(HOOKS) == {*equivalent, *heads, "ln2.hook_normalized"}
    for hook, end in heads.items():
        name = f"blocks.{LAYER}.{hook}"
        if family in NORMED_HEADS and hook != "attn.hook_v":
            with pytest.raises(ValueError, match=rf"no stream in a {family}, because .* is after the norm of heads"):
                recorded.names.place(name)
        else:
            close(recorded.ours(name), end, name)
    for hook, end in equivalent.items():
        name = f"blocks.{LAYER}.{hook}"
        if parallel and HOOKS[hook] == "resid_mid":
            with pytest.raises(ValueError, match="has no resid_mid"):
                recorded.names.place(name)
        else:
            close(recorded.ours(name), recorded.ends[end], name)
    module, given = recorded.modules[norm], recorded.ends[f"{norm}.input"]
    centred = given - given.mean(-1, keepdims=True) if hasattr(module, "bias") and module.bias is not None else given
    sigma = np.sqrt((centred**2).mean(-1, keepdims=True) + recorded.model.config.norm_eps)
    ours = recorded.ours(f"blocks.{LAYER}.ln2.hook_normalized")
    close(ours, centred / sigma if recorded.model.config.pre_norms else given, "ln2.hook_normalized")


def test_dictionaries_named_after_modules_are_of_what_torch_hooks_there(recorded, tmp_path):
    for module in (ATTENTION[recorded.family], "mlp"):
        below = f"{FAMILIES[recorded.family].MODULES.blocks[1]}.{LAYER}.{module}"
        stream = sparsify.open_source(test_sparsify.write(tmp_path, below), recorded.names).config.stream
        close(recorded.streams[stream][LAYER], recorded.ends[f"{recorded.block(module)}.output"], below)


def test_a_loaded_model_reads_the_names_of_its_family(recorded):
    name = recorded.block("mlp")
    assert recorded.model.place(name, "stream") == recorded.names.place(name)
    with pytest.raises(ValueError, match=r"stream: layer of .*: got 7; needs a whole number from -\d to \d"):
        recorded.model.place(name.replace(str(LAYER), "7"), "stream")
    with pytest.raises(ValueError, match="cannot read 'blocks"):
        recorded.model.place("blocks.1.hook_x", "Tap.stream")


def test_names_without_a_layer_are_of_every_layer(family_names):
    names = family_names("llama")
    assert names.place("hook_z") == names.place("attn.hook_z") == Place("head_out", None)
    assert names.place("hook_q") == names.place("attn.hook_q") == names.place("query") == Place("query", None)
    assert names.place("hook_resid_post") == names.place("resid_post") == Place("resid_post", None)
    assert names.place("model.norm") == Place("final_norm", None)


@pytest.mark.parametrize(
    ("family", "name", "message"),
    [
        ("llama", "transformer.h.3.mlp", r"cannot read .* in a llama \(a name of gpt2\).*model\.layers\.12"),
        ("llama", "model.layers.3.pre_feedforward_layernorm", r"in a llama \(a name of gemma2\)"),
        ("gpt2", "h.3.self_attn", "cannot read 'h.3.self_attn' in a gpt2"),
        ("gpt2", "wte", "'wte' is no stream in a gpt2; streams are embed, resid_pre"),
        ("gemma2", "lm_head", "no stream in a gemma2"),
        ("gemma2", "model.embed_tokens", "no stream in a gemma2"),
        ("llama", "model.layers.3.mlp.up_proj", "no stream in a llama"),
        ("llama", "blocks.3.attn.hook_x", "cannot read .*hooks are hook_resid_pre, attn.hook_q"),
        ("llama", "blocks.3.attn.hook_rot_q", "no stream in a llama, because query is before the rotation by position"),
        ("gpt2", "hook_rot_k", "because key is before the rotation"),
        (None, "blocks.3.attn.hook_k", "key in a llama.*nowhere in a qwen3.*for_model"),
        ("llama", "hook_attn_scores", "because attn_pattern is after the softmax, which it precedes"),
        ("qwen3", "blocks.3.mlp.hook_pre", "because mlp_act is after the activation"),
        ("gpt2", "ln_final.hook_normalized", "because final_norm is after the gain"),
        ("llama", "blocks.3.ln1.hook_scale", "because norms are kept whole, by the hold norm"),
        ("gpt2", "hook_embed", "'hook_embed' is no stream in a gpt2"),
        ("gpt_neox", "blocks.3.hook_resid_mid", "a gpt_neox has no resid_mid"),
        ("llama", "model.layer.2", "cannot read"),
        ("llama", "", "cannot read ''"),
        (
            None,
            "model.layers.2.post_attention_layernorm",
            "means several places .*mlp_in in a llama.*attn_out in a gemma2",
        ),
        (None, "embed_tokens", "nowhere in a gemma2.*for_model"),
    ],
)
def test_refused(family_names, family, name, message):
    with pytest.raises(ValueError, match=message) as caught:
        family_names(family).place(name)
    assert "\n" not in str(caught.value)


def test_without_a_model_a_name_is_read_that_means_one_place_everywhere():
    assert ANY_MODEL.place("blocks.3.hook_mlp_out") == Place("mlp_out", 3)
    assert ANY_MODEL.place("layers.3.mlp") == ANY_MODEL.place("h.3.mlp") == Place("mlp_raw", 3)
    assert ANY_MODEL.layer("model.layers.2.post_attention_layernorm") == 2
    with pytest.raises(ValueError, match="'hook_z' names no layer"):
        ANY_MODEL.layer("hook_z")
    with pytest.raises(ValueError, match="'resid_post' names no layer"):
        ANY_MODEL.site("resid_post")


@pytest.mark.parametrize("family", ["llama", "qwen3", "gpt2", "gemma2", "olmo2"])
def test_the_hook_of_a_stream_is_read_back_and_one_without_is_refused(family_names, family):
    names = family_names(family)
    unlike = {"qwen3": {"query", "key"}, "olmo2": {"query", "key"}, "gpt2": {"embed"}}
    without = {"attn_in", "final_norm", "logits"} | unlike.get(family, set())
    for stream in set(STREAMS) - without:
        own = Place("resid_pre", 0) if stream == "embed" else names.place(f"{stream}.1")
        assert names.place(names.hook(stream, 1)) == own
    for stream in without:
        with pytest.raises(ValueError, match=f"names: {stream} has no TransformerLens hook in a {family}; hooks stand"):
            names.hook(stream, 1)


def test_names_that_are_written_are_read_back():
    for stream, hook in HOOK_OF.items():
        assert ANY_MODEL.place(f"blocks.7.{hook}") == Place(stream, 7)
