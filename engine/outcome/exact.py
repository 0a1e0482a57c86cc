"""Exact answer probabilities under an edit, without sampling.

What an edit at layer l does not touch is computed once per prompt: keys and values of all tokens before the first
edited one, and the clean stream of the answer tree's nodes before every layer. A row then starts from the stored
stream at its layer and runs the layers above alone (`model.upper`), over the n inner nodes of the tree (one, for
single-token answers).

Cost per row: 2 * (parameters of a block) * n * (L - l0) operations, plus 2 D V n for the logits.

Shapes: B rows, n nodes, e edges of the tree, T0 width of the prefix bucket.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.apply import bind_all
from causeway.engine.intervention.changes import EditReport
from causeway.engine.intervention.edges import Edges
from causeway.engine.intervention.edits import EMPTY, Edit
from causeway.engine.intervention.held import Held, needed_streams
from causeway.engine.intervention.hold import HeldLayers
from causeway.engine.intervention.instruments import Carried, Instruments, Observer
from causeway.engine.model.attention import RowKeys, attend_pieces, blank, window_of, within
from causeway.engine.model.block import apply_block
from causeway.engine.model.buckets import node_width
from causeway.engine.model.cache import Prefix
from causeway.engine.model.finite import all_finite, refuse
from causeway.engine.model.generate import first_edited_position, shared_prefix
from causeway.engine.model.grouped import by_group, by_row, edges_of, own
from causeway.engine.model.transformer import Transformer, scan_layers
from causeway.engine.model.upper import top, upper
from causeway.engine.outcome.answers import AnswerTree
from causeway.engine.precision import full_precision


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Nodes:
    """An answer tree on the device, padded: tokens and positions [n], ancestors [n, n], edges [e, 2]."""

    tokens: Int[Array, " n"]
    positions: Int[Array, " n"]
    ancestors: Bool[Array, "n n"]
    edges: Int[Array, "e 2"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CleanTree:
    """The unedited pass of a prompt's answer tree.

    prefix: keys and values before the last prompt token. streams: [L + 1, n, D], the residual stream before each
    block and after the last. edges: [e] log probabilities without an edit. held: what edited rows keep of it.
    """

    prefix: Prefix
    nodes: Nodes
    streams: Float[Array, "L1 n D"]
    edges: Float[Array, " e"]
    held: Held | None = None


def clean_tree(
    transformer: Transformer,
    prompt: Sequence[int],
    tree: AnswerTree,
    first_edit: int | None = None,
    held: HeldLayers | None = None,
    dictionary: InMemory | None = None,
) -> CleanTree:
    """Run a prompt and its answers' inner nodes once, without an edit.

    Args:
        transformer: the model. prompt: token ids. tree: of the answers.
        first_edit: the first position that any row will edit (default: the last prompt token). Prompt tokens from there
            on differ from row to row, so they join the tree as a chain above its root.
        held: what edited rows will keep of this pass. dictionary: of their edits.

    Raises:
        ValueError: prompt and answers exceed the context.
        NotFiniteError: the pass does not give numbers.
    """
    shared = len(prompt) - 1 if first_edit is None else min(first_edit, len(prompt) - 1)
    tree = tree.after(prompt[shared:-1])
    if shared + tree.depths.max() >= transformer.config.max_position:
        raise ValueError(
            f"answers: {shared + tree.depths.max() + 1} tokens with the prompt, but the context is "
            f"{transformer.config.max_position}; shorten the prompt"
        )
    prefix = shared_prefix(transformer, prompt, shared)
    nodes = _device_nodes(tree, shared)
    names = needed_streams(held, transformer.config.post_norms, dictionary) if held else ()
    streams, edges, found = _clean(transformer, prefix, nodes, names)
    if not all_finite(edges):
        refuse(lambda: _clean(transformer, shared_prefix(transformer, prompt, shared), nodes))
    return CleanTree(prefix, nodes, streams, edges, Held.of(held, found, dictionary) if held else None)


def _device_nodes(tree: AnswerTree, shared: int) -> Nodes:
    """Pad nodes to a bucket, edges to the next power of two; padding nodes stand at -1, where no edit acts."""
    count, width = len(tree.tokens), node_width(len(tree.tokens))
    ancestors = np.zeros((width, width), bool)
    ancestors[:count, :count] = tree.ancestors
    edge_width = 1 << (len(tree.edges) - 1).bit_length()
    return Nodes(
        tokens=jnp.asarray(np.pad(tree.tokens, (0, width - count))),
        positions=jnp.asarray(np.pad(shared + tree.depths, (0, width - count), constant_values=-1)),
        ancestors=jnp.asarray(ancestors),
        edges=jnp.asarray(np.pad(tree.edges, ((0, edge_width - len(tree.edges)), (0, 0)))),
    )


class _Tree(Observer):
    """One layer over the nodes of B rows: each sees the prefix, its ancestors and itself."""

    def __init__(
        self, transformer: Transformer, prefix: Prefix, nodes: Nodes, instruments: Instruments,
        index: int | Array, *, carried: Carried | None = None,
    ):  # fmt: skip
        super().__init__(instruments, index, nodes.positions[None], nodes.positions[None] >= 0, carried)
        self.transformer, self.prefix, self.nodes = transformer, prefix, nodes

    def attend(self, q: Array, k: Array, v: Array) -> Float[Array, "B n H K"]:
        """Heads' outputs at every node."""
        config, nodes, index = self.transformer.config, self.nodes, self.layer
        repeat, window = config.num_heads // config.num_kv_heads, window_of(config, index)
        queries = jnp.repeat(nodes.positions, repeat)
        shared = self.prefix.layer(index)
        at = [jnp.arange(shared.keys.shape[-1]), nodes.positions]
        pieces = [within(shared, queries, at[0], window)]
        if len(nodes.tokens) > 1:
            visible = jnp.repeat(nodes.ancestors, repeat, axis=0)
            values = jnp.einsum("bngk->gbnk", blank(v, nodes.positions[None] >= 0))
            above = RowKeys(jnp.einsum("bngk->gbnk", k), values, visible)
            pieces.append(within(above, queries, nodes.positions, window))
        grouped, own_piece = by_group(q, config.num_kv_heads), (own(k, q), own(v, q))
        change = edges_of(self, tuple(pieces), tuple(at), config)
        z = attend_pieces(grouped, own_piece, tuple(pieces), config, self.transformer.numerics, change)
        return by_row(z, q.shape)


class _Clean(_Tree):
    """A layer of the clean tree, some streams of which are stored."""

    def __init__(self, *place, names: tuple[str, ...]):
        super().__init__(*place)
        self.names = names
        self.stored: dict[str, Float[Array, "1 n *D"]] = {}

    @property
    def meets_patterns(self) -> bool:
        """Whether patterns are stored."""
        return "attn_pattern" in self.names

    def __call__(self, stream: str, x: Array, edges: Edges | None = None) -> Array:
        """The stream as it is."""
        if stream in self.names:
            self.stored[stream if edges is None else f"{stream}.{edges.piece}"] = x
        return super().__call__(stream, x, edges)


class _Edited(_Tree):
    """A layer of edited rows, whose reports are added to those below."""

    def __init__(self, *place, below: tuple[EditReport, ...], carried: Carried):
        super().__init__(*place, carried=carried)
        self.below = below

    @property
    def carry(self) -> tuple[tuple[EditReport, ...], Carried]:
        """What the edits did so far, and what they bring to the layers above."""
        return _and(self.below, self), self.carried


def _and(below: tuple[EditReport, ...], observer: Observer) -> tuple[EditReport, ...]:
    """The reports with what one more observer saw."""
    found = observer.reports
    return tuple(report + _wide(found[i]) if i in found else report for i, report in enumerate(below))


def _edge_log_probability(x: Float[Array, "B n D"], last: _Tree) -> Float[Array, "B e"]:
    logits, nodes = top(last.transformer, x, last), last.nodes
    normaliser = jax.nn.logsumexp(logits, axis=-1)
    node, token = nodes.edges[:, 0], nodes.edges[:, 1]
    return logits[:, node, token] - normaliser[:, node]


@partial(jax.jit, static_argnames="names")
@full_precision
def _clean(
    transformer: Transformer, prefix: Prefix, nodes: Nodes, names: tuple[str, ...] = ()
) -> tuple[Float[Array, "L1 n D"], Float[Array, " e"], dict[str, Float[Array, "L 1 n *D"]]]:
    """The stream before each block and after the last, the edges, and the streams named."""
    count, nothing = transformer.config.num_layers, Instruments()

    def body(x, scanned):
        block, index = scanned
        here = _Clean(transformer, prefix, nodes, nothing, index, names=("resid_pre", *names))
        return apply_block(block, index, x, nodes.positions[None], transformer.config, here.attend, here), here.stored

    x = transformer.embed(nodes.tokens, nodes.positions)[None]
    x, stored = scan_layers(body, x, transformer.blocks)
    last = _Clean(transformer, prefix, nodes, nothing, count, names=names)
    edges = _edge_log_probability(x, last)[0]
    streams = jnp.concatenate([stored["resid_pre"][:, 0], x])
    kept = {name: values for name, values in stored.items() if name.partition(".")[0] in names}
    return streams, edges, kept | {name: values[None] for name, values in last.stored.items()}


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Background:
    """What all rows of an exact call share; of single blocks each layer's weights are read where they lie (`upper`)."""

    transformer: Transformer
    dictionary: InMemory | None
    clean: CleanTree


def start_layer(edits: tuple[Edit, ...], clean: CleanTree) -> int:
    """The first block to run for rows that all edit the same lowest layer.

    Raises:
        ValueError: the rows begin at several layers, or edit none, or a token of the shared prefix; pinned slots, as
            several nodes of a tree stand at one position.
    """
    if any(edit.spec.pinned for edit in edits):
        raise ValueError("edits: pinned slots in exact outcomes, where several nodes have one position; give intervals")
    first_blocks = np.min([_first_blocks(edit) for edit in edits], axis=0)
    starts = np.unique(first_blocks[first_blocks != _NEVER])
    if len(starts) != 1:
        layers = sorted({int(n) for edit in edits for n in np.unique(edit.layer) if n != EMPTY})
        raise ValueError(f"edit.layer: rows of layers {layers}; exact outcomes run rows of one first layer a call")
    first, shared = first_edited_position(edits), int(clean.prefix.length)
    if first < shared:
        raise ValueError(
            f"edit.start: {first} lies in the {shared} tokens that rows share; give clean_tree first_edit={first}"
        )
    return int(starts[0])


_NEVER = np.iinfo(np.int32).max


def _first_blocks(edit: Edit) -> Int[np.ndarray, " B"]:
    """The first block that each row's slots make another one; resid_post of block l is the input of block l + 1."""
    layer = np.asarray(edit.layer)
    return np.where(layer == EMPTY, _NEVER, layer + (edit.spec.stream == "resid_post")).min(axis=1, initial=_NEVER)


def edited_answers(
    background: Background, own: tuple[tuple[Edit, ...], Int[Array, ""]]
) -> tuple[Float[Array, "B e"], tuple[EditReport, ...]]:
    """Edge log probabilities of B rows that all begin at one layer, and what each edit did ([B, n, E]).

    `own` is the edits and their `start_layer`; a program for `jax.jit` or `RowParallel.program`. What is not finite on
    the way is not finite in the edges.
    """
    edits, start = own
    transformer, clean = background.transformer, background.clean
    nodes, prefix = clean.nodes, clean.prefix
    edited = Instruments(bind_all(edits, background.dictionary))
    instruments = dataclasses.replace(edited, held=clean.held)
    rows, positions = edits[0].layer.shape[0], nodes.positions[None]
    x = jnp.broadcast_to(clean.streams[start], (rows, *clean.streams.shape[1:]))
    # The stored stream is the clean one, so nothing of it is held. Where there is no block below, no slot acts: -1 is
    # the layer of empty ones.
    below, first = (Observer(edited, at, positions, positions >= 0) for at in (start - 1 - (start == 0), start))
    x = first("embed", below("resid_post", x))
    nothing = tuple(_nothing_done(rows, x.shape[1], edit.layer.shape[1], x.dtype) for edit in edits)

    def meet(index, carry):
        return _Edited(transformer, prefix, nodes, instruments, index, below=carry[0], carried=carry[1])

    carry = _and(_and(nothing, below), first), instruments.carried(x)
    x, (reports, _) = upper(transformer, x, start, positions, meet, carry)
    last = _Tree(transformer, prefix, nodes, instruments, transformer.config.num_layers)
    return _edge_log_probability(x, last), _and(reports, last)


def _wide(report: EditReport) -> EditReport:
    """Values in float32 or more, whichever family and stream they come from: a loop's carry has one dtype."""
    before, after = (a.astype(jnp.promote_types(a.dtype, jnp.float32)) for a in (report.before, report.after))
    return EditReport(before, after, report.applied)


def _nothing_done(rows: int, nodes: int, slots: int, dtype: jnp.dtype) -> EditReport:
    zeros = jnp.zeros((rows, nodes, slots), dtype)
    return _wide(EditReport(zeros, zeros, jnp.zeros(zeros.shape, bool)))
