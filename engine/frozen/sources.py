"""What writes to the stream of a frozen pass: features, errors, embeddings.

A prompt's active features (layer, position, feature) are found layer by layer, so that no more than one layer's
[T, F] values exist at a time. Each writes activation * decoder row. What the dictionary leaves over,

    error[l, p] = written[l, p] - reconstruction[l, p]

is one more writer at every layer and position. An SAE only reads the stream and leaves the model's own computation
unchanged, so its errors are what the MLPs write. Positions below `first` have no features and no errors: the first
token is an attention sink with a norm of its own, and no dictionary is trained on it.

Writers are padded to M of a position: [L, T, M, D], in the order of the features.
"""

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from causeway.engine.dictionary.finite import check_features
from causeway.engine.dictionary.fit import fitted
from causeway.engine.dictionary.placement import InMemory
from causeway.engine.frozen.record import FrozenRecord
from causeway.engine.gathered import to_host
from causeway.engine.model.handle import Model
from causeway.engine.precision import full_precision

Transcoders = InMemory
SLOTS = 8
# Writers beyond this are gathered layer by layer, batch after batch: a tenth slower, and a layer's memory.
WRITER_BYTES = 1 << 30


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Sources:
    """Everything that writes, as vectors.

    Attributes:
        features: [L, T, M, D], read at the dictionary's output stream. Of a cross-layer transcoder: what the features
            of all layers up to l write at layer l, [L, T, L M, D]. Of a long prompt: empty (M = 0), each layer's to be
            gathered from `ids` and `values`, [L, T, M], when it is read. errors: [L, T, D], read at mlp_out. residual:
            what an SAE that cuts the stream leaves over, [L, T, D]; zeros otherwise. embedding: [T, D].
    """

    features: Float[Array, "L T M D"]
    ids: Int[Array, "L T M"]
    values: Float[Array, "L T M"]
    errors: Float[Array, "L T D"]
    residual: Float[Array, "L T D"]
    embedding: Float[Array, "T D"]


@dataclasses.dataclass(frozen=True)
class ActiveFeatures:
    """Active features of a prompt in lexicographic order.

    Attributes:
        nodes: [N, 3] of (layer, position, feature). activations: [N]. ids: [L, T, M] padded with feature 0. values:
            [L, T, M] activations, 0 where padded. slots: [N] place of each node in the padded axis.
    """

    nodes: Int[np.ndarray, "N 3"]
    activations: Float[np.ndarray, " N"]
    ids: Int[np.ndarray, "L T M"]
    values: Float[np.ndarray, "L T M"]
    slots: Int[np.ndarray, " N"]


def check_of_model(model: Model, transcoders: Transcoders) -> None:
    """Refuse transcoders whose layers or widths the model does not have.

    Raises:
        ValueError: naming both sides.
    """
    layers, width = model.config.num_layers, model.config.d_model
    if extra := sorted(set(transcoders.config.layers) - set(range(layers))):
        raise ValueError(
            f"transcoders: layers {extra} are not in {model.name} (0..{layers - 1}); load those of this model"
        )
    if {transcoders.d_in, transcoders.d_out} != {width}:
        raise ValueError(
            f"transcoders: read {transcoders.d_in} and write {transcoders.d_out} coordinates, but the stream of "
            f"{model.name} has {width}; load those of this model"
        )


def of_model(model: Model, transcoders: Transcoders) -> Transcoders:
    """The transcoders, their streams under the model's names.

    Raises:
        ValueError: see `check_of_model`; or a stream that the model does not have.
    """
    check_of_model(model, transcoders)
    return fitted(transcoders, model.config, model.name)


def active_features(dictionary: Transcoders, record: FrozenRecord, length: int, first: int) -> ActiveFeatures:
    """Encode a recorded prompt of `length` tokens; positions below `first` are left out.

    Raises:
        NotFiniteError: an activation is not a number.
    """
    layers, width = record.attn_scale.shape
    found, values, streams = [], [], record.streams[dictionary.config.stream]
    # Stacks may hold layers in any order; nodes are lexicographic.
    for layer in sorted(dictionary.config.layers):
        x = jax.lax.dynamic_index_in_dim(streams, layer, keepdims=False)
        # Sums over features are kept in the dtype of sums, which is that of the logits.
        f = to_host(encode(dictionary, layer, x)).astype(record.logits.dtype)[first:length]
        position, feature = np.nonzero(f)
        check_features(f[position, feature], feature, layer, dictionary)
        found.append(np.stack([np.full_like(position, layer), position + first, feature], axis=1))
        values.append(f[position, feature])
    nodes, activations = np.concatenate(found), np.concatenate(values)
    place = nodes[:, 0] * width + nodes[:, 1]
    counts = np.bincount(place, minlength=layers * width)
    slots = np.arange(len(nodes)) - (np.cumsum(counts) - counts)[place]
    padded = max(SLOTS, -(-int(counts.max(initial=0)) // SLOTS) * SLOTS)
    ids = np.zeros((layers, width, padded), np.int32)
    dense = np.zeros((layers, width, padded), activations.dtype)
    at = (nodes[:, 0], nodes[:, 1], slots)
    ids[at], dense[at] = nodes[:, 2], activations
    return ActiveFeatures(nodes, activations, ids, dense, slots)


@jax.jit
@full_precision
def encode(dictionary: Transcoders, layer: int | Int[Array, ""], x: Float[Array, "T D"]) -> Float[Array, "T F"]:
    """All feature values of one layer, which has a dictionary; one program serves all layers."""
    return dictionary.encode_at(layer, x)


def fit_in_memory(dictionary: Transcoders, ids: Int[np.ndarray, "L T M"]) -> bool:
    """Whether writers are gathered once: they fit, or (cross-layer) are written by several layers at once."""
    return dictionary.crosses or 4 * ids.size * dictionary.d_out <= WRITER_BYTES


@partial(jax.jit, static_argnames=("first", "cut", "hold"))
@full_precision
def gather_sources(
    dictionary: Transcoders,
    record: FrozenRecord,
    ids: Int[Array, "L T M"],
    values: Float[Array, "L T M"],
    first: int,
    cut: bool,
    hold: bool = True,
) -> Sources:
    """The vectors that features, errors and embeddings write; those of features empty unless to be held."""
    config = dictionary.config
    if dictionary.crosses:
        features, reconstruction = _cross_layer(dictionary, ids, values)
    elif hold:
        features, reconstruction = _per_layer(dictionary, ids, values)
    else:
        features, reconstruction = jnp.zeros((*ids.shape[:2], 0, dictionary.d_out)), _sums(dictionary, ids, values)
    reconstruction = reconstruction + _skipped(dictionary, record.streams[config.stream], reconstruction.dtype)
    seen = (jnp.arange(ids.shape[1]) >= first)[:, None]
    written = jnp.where(seen, record.streams["mlp_out"], 0)
    # A layer without a dictionary leaves nothing over: its stream is not cut.
    covered = jnp.isin(jnp.arange(ids.shape[0]), jnp.array(config.layers))[:, None, None]
    left = jnp.where(seen & covered, record.streams[config.output_stream] - reconstruction, 0)
    nothing = jnp.zeros_like(written)
    if config.is_transcoder:
        return Sources(features, ids, values, left, nothing, record.embedding)
    return Sources(features, ids, values, written, left if cut else nothing, record.embedding)


def layer_writers(
    dictionary: Transcoders, index: Array, ids: Int[Array, "T M"], values: Float[Array, "T M"]
) -> Float[Array, "T M D"]:
    """One layer's features as vectors; `index` is the model layer, traced. Values of layers without any are zero."""
    return dictionary.rows(dictionary.config.place(index), ids).astype(values.dtype) * values[..., None]


def _sums(dictionary: Transcoders, ids: Array, values: Array) -> Float[Array, "L T D"]:
    """What each layer's features write together, with the bias, a layer at a time."""
    biases = dictionary.b_dec[...].astype(values.dtype)

    def one(scanned):
        index, here, worth = scanned
        return layer_writers(dictionary, index, here, worth).sum(axis=1) + biases[dictionary.config.place(index)]

    return jax.lax.map(one, (jnp.arange(ids.shape[0]), ids, values))


def _per_layer(dictionary: Transcoders, ids: Array, values: Array) -> tuple[Array, Array]:
    """Each layer's own decoder rows, and their sum with the bias; zeros at layers without a dictionary."""
    layers, width = ids.shape[:2]
    biases = dictionary.b_dec[...]
    where = list(dictionary.config.layers)
    vectors = jnp.stack([dictionary.rows(i, ids[layer]) for i, layer in enumerate(where)]).astype(values.dtype)
    vectors = vectors * values[jnp.array(where)][..., None]
    sums = vectors.sum(axis=2) + biases[:, None].astype(values.dtype)
    if where == list(range(layers)):
        return vectors, sums
    place = jnp.array(where)
    all_vectors = jnp.zeros((layers, width, *vectors.shape[2:]), values.dtype).at[place].set(vectors)
    return all_vectors, jnp.zeros((layers, width, sums.shape[-1]), values.dtype).at[place].set(sums)


def _cross_layer(dictionary: Transcoders, ids: Array, values: Array) -> tuple[Array, Array]:
    """What every feature writes at its own layer and at each above it: [to, T, from * M, D]."""
    layers, width, slots = ids.shape
    out = jnp.zeros((layers, width, layers, slots, dictionary.d_out), values.dtype)
    for layer in range(layers):
        rows = dictionary.arrays_at(layer)["W_dec"][ids[layer]].astype(values.dtype) * values[layer][..., None, None]
        out = out.at[layer:, :, layer].set(jnp.moveaxis(rows, 2, 0))
    vectors = out.reshape(layers, width, layers * slots, -1)
    return vectors, vectors.sum(axis=2) + dictionary.b_dec[...][:, None].astype(values.dtype)


def _skipped(dictionary: Transcoders, x: Float[Array, "L T D"], dtype: jnp.dtype) -> Float[Array, "..."]:
    if not hasattr(dictionary, "W_skip"):
        return jnp.zeros((), dtype)
    skips = dictionary.W_skip[...][dictionary.config.place(jnp.arange(max(dictionary.config.layers) + 1))]
    return jnp.einsum("ltd,ldo->lto", x, skips.astype(x.dtype), preferred_element_type=dtype)
