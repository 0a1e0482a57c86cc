"""What a loaded model or stack of dictionaries is, as plain values: one record for the screen and for JSON.

Shapes, dtypes and bytes are those of the arrays in memory; only `loss_account` runs the model. Norms are over rows of
the decoder and over columns of the encoder: how far a unit of a feature moves the stream, and how strongly a unit of
the stream moves it.
"""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from causeway.engine.analyses.inspect.trust import unknown_share
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.model.config import ModelConfig
from causeway.engine.model.finite import NotFiniteError, all_finite
from causeway.engine.model.handle import Model
from causeway.engine.model.quantised import count_weights
from causeway.engine.model.transformer import abstract_transformer
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.splice_loss import clean_loss

Account = dict[str, Any]
QUANTILES = (0.0, 0.5, 1.0)


def model_account(model: Model) -> Account:
    """Family, shapes, parameters, dtypes and memory of a model."""
    config = model.config
    # Named as files and stacks have them, however the blocks are kept.
    leaves = jax.tree_util.tree_leaves_with_path(abstract_transformer(config, model.numerics))
    defaults = {field.name: field.default for field in dataclasses.fields(ModelConfig)}
    plain = dataclasses.asdict(config)
    tokenizer = model.tokenizer
    return {
        "name": model.name,
        "family": config.family,
        "parameters": count_weights(model.transformer),
        "bytes": sum(leaf.nbytes for leaf in jax.tree.leaves(model.transformer)),
        "dtypes": model.numerics.dtypes,
        "shape": {name: plain[name] for name, default in defaults.items() if default is dataclasses.MISSING},
        "differs_from_llama": {
            name: plain[name]
            for name, default in defaults.items()
            if default is not dataclasses.MISSING and getattr(config, name) != default
        },
        "arrays": {_name(path): list(leaf.shape) for path, leaf in leaves},
        "tokenizer": None
        if tokenizer is None
        else {"vocab_size": tokenizer.vocab_size, "bos_id": tokenizer.bos_id, "eos_id": tokenizer.eos_id},
        "prepend_bos": model.prepend_bos,
    }


def dictionary_account(dictionary: InMemory, origin: Mapping[str, Any] | None = None) -> Account:
    """Kind, sites, shapes, dtypes, memory and norms of a stack of dictionaries.

    Args:
        dictionary: a stack over the layers of its configuration.
        origin: what the files say beyond that (format, model_name, value_scale, card), taken over as it is.

    Raises:
        NotFiniteError: a feature's norm is not a number.
    """
    config = dictionary.config
    leaves = jax.tree_util.tree_leaves_with_path(dictionary)
    return {
        **(origin or {}),
        "kind": config.kind,
        "k": config.k or None,
        "layers": list(config.layers),
        "reads": config.stream,
        "writes": config.output_stream,
        "input_norm": config.input_norm,
        "skip": hasattr(dictionary, "W_skip"),
        "cross_layer": dictionary.crosses,
        "features": dictionary.num_features,
        "d_in": dictionary.d_in,
        "d_out": dictionary.d_out,
        "bytes": sum(leaf.nbytes for _, leaf in leaves),
        "dtypes": sorted({str(leaf.dtype) for _, leaf in leaves}),
        "arrays": {_name(path): list(leaf.shape) for path, leaf in leaves},
        "decoder_norms": _spreads("W_dec", dictionary, _decoder_norms(dictionary)),
        "encoder_norms": _spreads("W_enc", dictionary, [_norms(matrix, axis=0) for matrix in dictionary.W_enc[...]]),
        "thresholds": [_spread(np.asarray(row)) for row in dictionary.threshold[...]]
        if hasattr(dictionary, "threshold")
        else None,
    }


def loss_account(model: Model, corpus: Corpus) -> Account:
    """The model's mean loss on text, that of guessing among all tokens alike (ln V), in nats, and the share of tokens
    that stand for parts outside the vocabulary."""
    return {
        "tokens": int(corpus.counts.sum()),
        "unknown": unknown_share(corpus, getattr(model.tokenizer, "unknown_id", None)),
        "loss": clean_loss(model.transformer, corpus),
        "guessing": math.log(model.config.vocab_size),
    }


def _name(path: tuple) -> str:
    """A leaf's path with dots, without the entry of the parameter that holds it."""
    names = [str(getattr(key, "name", getattr(key, "key", getattr(key, "idx", key)))) for key in path]
    return ".".join(names[:-1] if len(names) > 1 and names[-1] in ("value", "raw_value") else names)


def _decoder_norms(dictionary: InMemory) -> list[np.ndarray]:
    matrices = [dictionary.arrays_at(layer)["W_dec"] for layer in dictionary.config.layers]
    return [_norms(matrix, axis=tuple(range(1, matrix.ndim))) for matrix in matrices]


def _norms(matrix: jax.Array, axis: int | tuple[int, ...]) -> np.ndarray:
    return np.asarray(jnp.sqrt(jnp.sum(jnp.square(matrix.astype(jnp.float32)), axis=axis)))


def _spreads(array: str, dictionary: InMemory, norms: list[np.ndarray]) -> list[list[float]]:
    """Of each layer's norms.

    Raises:
        NotFiniteError: one is not a number, naming layer, array and feature.
    """
    for layer, values in zip(dictionary.config.layers, norms, strict=True):
        if not all_finite(values):
            raise NotFiniteError(
                f"dictionary of layer {layer}: {array} of feature {int(np.isfinite(values).argmin())} has no finite "
                "norm; its files are damaged, or its training diverged"
            )
    return [_spread(values) for values in norms]


def _spread(values: np.ndarray) -> list[float]:
    """Lowest, median and highest."""
    return [float(v) for v in np.quantile(values.astype(np.float32), QUANTILES)]
