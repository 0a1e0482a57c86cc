"""Tiny random models, dictionaries and edits, drawn by numpy so that every dtype starts from the same numbers."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.dictionary.activations import RANKED
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.intervention.edits import FOREVER, Edit, EditSpec, no_edit
from causeway.engine.model.config import ModelConfig, Numerics, RopeScaling
from causeway.engine.model.joined_heads import pieces_of
from causeway.engine.model.placement import parameter_name
from causeway.engine.model.transformer import Transformer, abstract_transformer

CONFIG = ModelConfig(
    family="llama", num_layers=3, d_model=16, num_heads=4, num_kv_heads=2, head_dim=4, d_ff=24, vocab_size=40,
    max_position=64,
)  # fmt: skip
# What each family does otherwise than LLaMA, all of it at once.
FAMILIES = {
    "llama": {},
    "qwen3": {"qk_norm": True, "head_dim": 6, "tied_embeddings": False, "norm_eps": 1e-6},
    "gpt2": {
        "norm": "layer", "positions": "learned", "activation": "gelu_tanh", "gated_mlp": False, "num_kv_heads": 4,
        "attention_bias": True, "mlp_bias": True,
    },
    "gpt_neox": {
        "norm": "layer", "rotary_dim": 2, "activation": "gelu", "gated_mlp": False, "num_kv_heads": 4,
        "attention_bias": True, "mlp_bias": True, "parallel_blocks": True, "tied_embeddings": False,
    },
    "gemma2": {
        "norm": "rms_offset", "post_norms": True, "windows": (4, 0, 4), "attention_softcap": 3.0,
        "logit_softcap": 2.0, "query_scale": 0.3, "embedding_scale": 4.0, "activation": "gelu_tanh",
    },
    "gemma3": {
        "norm": "rms_offset", "post_norms": True, "windows": (4, 0, 4), "qk_norm": True, "query_scale": 0.3,
        "embedding_scale": 4.0, "activation": "gelu_tanh", "local_rope_theta": 50.0,
        "rope_scaling": RopeScaling("linear", 8.0),
    },
    "olmo2": {
        "pre_norms": False, "post_norms": True, "qk_norm": True, "qk_norm_joint": True, "tied_embeddings": False,
    },
    "qwen2": {"attention_bias": True, "attention_output_bias": False},
    "bare": {"norm": "none", "gated_mlp": False, "activation": "relu", "num_kv_heads": 4},
}  # fmt: skip
DOUBLE = Numerics("float64", "float64", "float64")
FEATURES = 24
PROMPT = np.array([7, 31, 2, 19, 19, 0, 38, 11, 25])
PARAMETERS = {"jumprelu": ("threshold",), "gated": ("log_scale", "gate_bias", "magnitude_bias")}


def make_transformer(numerics: Numerics = Numerics(), seed: int = 0, **changes) -> Transformer:  # noqa: B008
    """`CONFIG` with some fields changed; weights, biases and gains all random."""
    rng, drawn = np.random.default_rng(seed), {}
    shapes = abstract_transformer(dataclasses.replace(CONFIG, **changes), numerics)
    pieces = {
        name: leaf.shape if share is None else np.broadcast_to(0, leaf.shape)[..., share, :].shape
        for path, leaf in jax.tree_util.tree_leaves_with_path(shapes)
        for name, share in pieces_of(parameter_name(path)).items()
    }
    for name in sorted(pieces, key=lambda name: name.split(".")):
        drawn[name] = (0.3 * rng.standard_normal(pieces[name]) + (".gain" in name)).astype(np.float32)

    def fill(path, leaf):
        parts = [drawn[name] for name in pieces_of(parameter_name(path))]
        return jnp.asarray(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=-2), leaf.dtype)

    return jax.tree_util.tree_map_with_path(fill, shapes)


def make_dictionary(
    kind: str = "jumprelu", layers=(0, 2), stream: str = "resid_post", dtype="float32", seed: int = 1,
    skip: bool = False, **changes,
) -> Dictionary:  # fmt: skip
    """A stack for some layers; about half of the features are active on a random vector.

    `changes` are further fields of the configuration; `skip` adds skip connections.
    """
    rng = np.random.default_rng(seed)
    count, width = len(layers), CONFIG.d_model

    def draw(*shape):
        return jnp.asarray((0.3 * rng.standard_normal((count, *shape))).astype(np.float32), dtype)

    arrays = {
        "W_enc": draw(width, FEATURES), "b_enc": draw(FEATURES) * (kind != "gated"),
        "W_dec": draw(FEATURES, width), "b_dec": draw(width),
    }  # fmt: skip
    arrays |= {name: abs(draw(FEATURES)) for name in PARAMETERS.get(kind, ())}
    if skip:
        arrays["W_skip"] = draw(width, width)
    if kind == "matching_pursuit":
        # Rows of norm 1, or the pursuit need not converge.
        rows = arrays["W_dec"] / jnp.linalg.norm(arrays["W_dec"], axis=-1, keepdims=True)
        arrays |= {"W_dec": rows, "W_enc": rows.swapaxes(1, 2), "b_enc": jnp.zeros_like(arrays["b_enc"])}
    k = changes.pop("k", 4 * (kind in RANKED))
    return Dictionary(DictionaryConfig(kind, tuple(layers), stream, k, **changes), **arrays)


def make_edit(rows: int, slots: int = 1, spec: EditSpec = EditSpec(), **values) -> Edit:  # noqa: B008 (immutable)
    """Slots [rows, slots]; each value is a scalar or broadcasts. Unnamed: set to 0, from position 0 on."""
    values = {"start": 0, "stop": FOREVER, "scale": 0, "writer": values.get("feature", 0)} | values
    blank = no_edit(rows, slots, spec)
    arrays = {n: np.broadcast_to(v, (rows, slots)).astype(getattr(blank, n).dtype) for n, v in values.items()}
    return dataclasses.replace(blank, **arrays)


def take_rows(edit: Edit, rows) -> Edit:
    """Some rows of an edit, in that order."""
    return jax.tree.map(lambda a: a[rows], edit)
