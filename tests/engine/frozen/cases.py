"""Tiny models of all families and dictionaries of all kinds that attribution takes, in float64."""

import jax.numpy as jnp
import numpy as np

from causeway.engine.dictionary.config import DictionaryConfig
from causeway.engine.dictionary.cross_layer import CrossLayerTranscoder
from causeway.engine.model.handle import Model

TRANSCODERS = {
    "relu": {"kind": "relu", "stream": "mlp_in"},
    "jumprelu": {"kind": "jumprelu", "stream": "mlp_norm"},
    "topk": {"kind": "topk", "stream": "resid_mid"},
    "topk_signed": {"kind": "topk_signed", "stream": "mlp_in"},
    "gated": {"kind": "gated", "stream": "mlp_in"},
    "skip_mlp_in": {"kind": "jumprelu", "stream": "mlp_in", "skip": True},
    "skip_mlp_norm": {"kind": "relu", "stream": "mlp_norm", "skip": True},
    "skip_resid_mid": {"kind": "topk", "stream": "resid_mid", "skip": True},
    "skip_shuffled": {"kind": "relu", "stream": "mlp_in", "skip": True, "layers": (2, 0, 1)},
}
CROSS_LAYER = {
    "cross_layer": {"kind": "relu", "stream": "mlp_in"},
    "cross_layer_skip": {"kind": "jumprelu", "stream": "mlp_norm", "skip": True},
}
SAES = {
    "sae": {"kind": "jumprelu", "layers": (0, 2)},
    "sae_cut": {"kind": "topk", "layers": (0, 1, 2)},
    "sae_cut_some": {"kind": "gated", "layers": (0, 2)},
}
NAMES = (*TRANSCODERS, *CROSS_LAYER, *SAES)
PROMPT = [7, 31, 2, 19, 19, 0, 38]


def make_model(tiny, family: str = "llama", tokenizer=None, **changes) -> Model:
    transformer = tiny.make_transformer(tiny.DOUBLE, **tiny.FAMILIES[family] | changes)
    return Model(transformer, tokenizer, f"tiny {family}", identity=family)


def make_dictionary(tiny, name: str):
    if name in SAES:
        return tiny.make_dictionary(**SAES[name], dtype="float64")
    if name in CROSS_LAYER:
        return _cross_layer(tiny, **CROSS_LAYER[name])
    return tiny.make_dictionary(**{"layers": (0, 1, 2)} | TRANSCODERS[name], write_stream="mlp_out", dtype="float64")


def _cross_layer(tiny, kind: str, stream: str, skip: bool = False) -> CrossLayerTranscoder:
    rng = np.random.default_rng(3)
    layers, width, features = tiny.CONFIG.num_layers, tiny.CONFIG.d_model, tiny.FEATURES

    def draw(*shape):
        return jnp.asarray(0.3 * rng.standard_normal(shape))

    arrays = {
        "W_enc": draw(layers, width, features), "b_enc": draw(layers, features), "b_dec": draw(layers, width),
        "W_dec": tuple(draw(features, layers - layer, width) for layer in range(layers)),
    }  # fmt: skip
    arrays |= {"threshold": abs(draw(layers, features))} if kind == "jumprelu" else {}
    arrays |= {"W_skip": draw(layers, width, width)} if skip else {}
    return CrossLayerTranscoder(DictionaryConfig(kind, tuple(range(layers)), stream, 0, "mlp_out"), **arrays)
