"""One edge of a graph, split by the attention head that its source meets first.

Going up from its source, a path to the target passes through no attention at all, or there is a first head (l, h) that
takes it from the source's position to another. Read downwards, the cotangent that reaches the source is a sum of what
each of them put there:

    G[source] = direct + sum_{l, h} back_{l, h}(G_mid_l)[source position] + sum_l skip_l
    back_{l, h}(G)[s] = centre(gain * W_V^{g(h)} sum_t P_h[t, s] W_O^h G[t]) * scale[s]

so that <., source vector> splits the edge exactly. `direct` is the target's own read vector; `skip` are the skip
connections of transcoders that the source meets before any head. Everything above the first head is in G_mid_l: a
head's part holds all paths that begin with it.

Cost: one row of the graph, and 2 L D H K (T + 1) more. Memory: L H D.
"""

import dataclasses
from collections.abc import Sequence
from functools import partial
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int
from scipy.sparse import coo_array

from causeway.engine.analyses.attribute.attribute import check_request
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph import AttributionGraph, PrunedGraph
from causeway.engine.analyses.attribute.targets import Target, choose_targets, named_targets
from causeway.engine.frozen.adjoint import values_in
from causeway.engine.frozen.pullback import Descent, Frozen, Targets, descend, feature_targets, logit_targets
from causeway.engine.frozen.record import record_prompt
from causeway.engine.frozen.sources import ActiveFeatures, Transcoders, active_features, gather_sources
from causeway.engine.gathered import to_host
from causeway.engine.model.handle import Model
from causeway.engine.model.transformer import layer
from causeway.engine.precision import full_precision

Feature = tuple[int, int, int]
Source = Feature | tuple[Literal["error"], int, int] | tuple[Literal["token"], int]


@dataclasses.dataclass(frozen=True)
class HeadSplit:
    """Parts of one edge; they sum to it.

    Attributes:
        heads: [L, H] by the first head on the way up. skips: [L] by the first skip connection. direct: through neither.
    """

    heads: Float[np.ndarray, "L H"]
    skips: Float[np.ndarray, " L"]
    direct: float

    @property
    def edge(self) -> float:
        """Their sum."""
        return float(self.heads.sum() + self.skips.sum() + self.direct)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Writes:
    """What one source writes: at each layer's output stream, mlp_out, after an SAE, and to the embedding."""

    features: Float[Array, "L D"]
    errors: Float[Array, "L D"]
    residual: Float[Array, "L D"]
    embedding: Float[Array, " D"]


class EdgeSplitter:
    """Splits edges of one prompt's graph; the prompt is run once.

    Args:
        model, transcoders, prompt, plan: as for `attribute`, of which ignore_first and cut are read here.

    Raises:
        ValueError: see `attribute`.
    """

    def __init__(
        self,
        model: Model,
        transcoders: Transcoders,
        prompt: str | Sequence[int],
        plan: AttributionPlan = AttributionPlan(),  # noqa: B008 (immutable)
    ):
        self.model, self.plan, self.tokens = model, plan, model.tokens(prompt)
        check_request(model, transcoders, self.tokens)
        record = record_prompt(model.transformer, self.tokens, transcoders.config)
        self.active = active_features(transcoders, record, len(self.tokens), plan.ignore_first)
        ids, values = jnp.asarray(self.active.ids), jnp.asarray(self.active.values)
        sources = gather_sources(transcoders, record, ids, values, plan.ignore_first, plan.cut)
        self.logits = to_host(record.logits[len(self.tokens) - 1])
        self.frozen = Frozen(model.transformer, transcoders, record, sources)

    def split(self, target: Feature | Target | int | str, source: Source) -> HeadSplit:
        """The parts of the edge from a source to a target.

        Args:
            target: an active feature (layer, position, feature), or a token or direction of the last logits.
            source: an active feature, ("error", layer, position) or ("token", position).

        Raises:
            ValueError: a feature that is not active on the prompt, or a place outside of it.
        """
        writes, position = self._writes(source)
        cut = self.plan.ignore_first if self.plan.cut else None
        found = _split(self.frozen, self._target(target), writes, jnp.int32(position), cut=cut)
        heads, skips, direct = to_host(found)
        return HeadSplit(heads, skips, float(direct))

    def _target(self, target: Feature | Target | int | str) -> Targets:
        if isinstance(target, tuple):
            self._node(target)
            nodes = jnp.asarray(np.array([target], np.int32))
            return feature_targets(self.frozen, nodes)
        wanted = named_targets(self.model, self.tokens, [target])
        vectors = choose_targets(self.model, self.tokens, self.logits, wanted, self.plan).vectors
        return logit_targets(
            self.frozen.transformer, self.frozen.record, jnp.asarray(vectors), jnp.int32(len(self.tokens) - 1)
        )

    def _node(self, feature: Feature) -> int:
        found = np.flatnonzero((self.active.nodes == np.asarray(feature)).all(axis=1))
        if len(found) != 1:
            raise ValueError(f"feature {tuple(feature)}: not active on this prompt; needs (layer, position, feature)")
        return int(found[0])

    def _writes(self, source: Source) -> tuple[_Writes, int]:
        """A source alone, and its position."""
        sources, layers = self.frozen.sources, self.model.config.num_layers
        nothing = jnp.zeros((layers, self.model.config.d_model), sources.embedding.dtype)
        none = _Writes(nothing, nothing, nothing, nothing[0])
        if source[0] == "token":
            position = self._place(source[1])
            return dataclasses.replace(none, embedding=sources.embedding[position]), position
        if source[0] == "error":
            position, at = self._place(source[2]), self._layer(source[1])
            errors = nothing.at[at].set(sources.errors[at, position])
            residual = nothing.at[at].set(sources.residual[at, position])
            return dataclasses.replace(none, errors=errors, residual=residual), position
        position = int(source[1])
        slots = _slots(self.active, self._node(source), sources.features.shape[2])
        return dataclasses.replace(none, features=sources.features[:, position, slots] * _own(self, source)), position

    def _place(self, position: int) -> int:
        if not 0 <= position < len(self.tokens):
            raise ValueError(f"source: position {position}; the prompt has positions 0..{len(self.tokens) - 1}")
        return int(position)

    def _layer(self, at: int) -> int:
        if not 0 <= at < self.model.config.num_layers:
            raise ValueError(f"source: layer {at}; {self.model.name} has 0..{self.model.config.num_layers - 1}")
        return int(at)


def strongest_edges(pruned: PrunedGraph, count: int) -> list[tuple[int, int]]:
    """(row, column) of the largest kept edges by |weight|, in the whole graph's numbers."""
    edges = coo_array(pruned.edges)
    order = np.argsort(-np.abs(edges.data), kind="stable")[:count]
    return list(zip(edges.row[order].tolist(), edges.col[order].tolist(), strict=True))


def source_of(graph: AttributionGraph, column: int) -> Source:
    """What a column of a graph is, as `EdgeSplitter.split` takes it."""
    n, length = len(graph.features), len(graph.tokens)
    if column < n:
        return _feature(graph, column)
    if column < n + graph.num_errors:
        layer_of, position = divmod(column - n, length)
        return "error", layer_of, position
    return "token", column - n - graph.num_errors


def target_of(graph: AttributionGraph, row: int, targets: Sequence[Target | int] | None) -> Feature | Target | int:
    """What a row of a graph is; `targets` are those the graph was asked for, None where it chose tokens itself."""
    n = len(graph.features)
    if row < n:
        return _feature(graph, row)
    return graph.logits[row - n].token if targets is None else targets[row - n]


def _feature(graph: AttributionGraph, number: int) -> Feature:
    at, position, feature = graph.features[number].tolist()
    return at, position, feature


def _slots(active: ActiveFeatures, node: int, slots: int) -> int:
    """A feature's place in the padded axis of the sources: a cross-layer transcoder's holds all layers' features."""
    own = int(active.slots[node])
    return own if slots == active.ids.shape[2] else int(active.nodes[node, 0]) * active.ids.shape[2] + own


def _own(splitter: EdgeSplitter, source: Feature) -> Bool[Array, "L 1"]:
    """Where the feature's slot holds what it writes: at its own layer, or with cross-layer decoders at all."""
    layers = splitter.model.config.num_layers
    crosses = splitter.frozen.sources.features.shape[2] != splitter.active.ids.shape[2]
    return jnp.asarray((np.arange(layers) == source[0]) | crosses)[:, None]


@partial(jax.jit, static_argnames="cut")
@full_precision
def _split(
    frozen: Frozen, targets: Targets, writes: _Writes, position: Int[Array, ""], cut: int | None
) -> tuple[Float[Array, "L H"], Float[Array, " L"], Float[Array, ""]]:
    """Walk one target's cotangent down; at each write, read what each part put at the source's position."""
    config, (_, dim), dtype = frozen.transformer.config, targets.vector.shape, targets.vector.dtype
    count = config.num_layers
    at_top = jnp.where((targets.layer[0] == count) & (targets.position[0] == position), targets.vector[0], 0)
    parts = (jnp.zeros((count, config.num_heads, dim), dtype), jnp.zeros((count, dim), dtype), at_top)
    sums = jax.tree.map(lambda part: jnp.zeros(part.shape[:-1], dtype), parts)

    def meet(index, carry):
        return _Walk(frozen, targets, index, cut, writes=writes, position=position, carry=carry)

    width = frozen.record.embedding.shape[0]
    _, (parts, sums) = descend(frozen.transformer, frozen.record, targets, width, meet, (parts, sums))
    heads, skips, direct = _read(parts, sums, writes.embedding)
    return heads, skips, direct


def _read(parts: tuple[Array, ...], sums: tuple[Array, ...], vector: Float[Array, " D"]) -> tuple[Array, ...]:
    return jax.tree.map(lambda part, total: total + part @ vector.astype(part.dtype), parts, sums)


class _Walk(Descent):
    """One layer of the walk, which keeps what each part put at the source's position."""

    def __init__(self, *place, writes: _Writes, position: Array, carry: tuple[tuple[Array, ...], tuple[Array, ...]]):
        super().__init__(*place)
        self.writes, self.position = writes, position
        self.parts, self.sums = carry

    @property
    def carry(self) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
        """The parts, and what of them the source has read."""
        return self.parts, self.sums

    def __call__(self, stream: str, g: Float[Array, "T 1 *D"]) -> Float[Array, "T 1 *D"]:
        """The cotangent to go on with; at `heads` what each head hands down to the source's position."""
        if stream != "heads":
            return super().__call__(stream, g)
        block, record = layer(self.frozen.transformer.blocks, self.index), self.frozen.record
        heads, skips, direct = self.parts
        read = jnp.repeat(values_in(block, g.dtype), heads.shape[1] // self._groups, axis=1)
        scale = record.attn_scale[self.index, self.position].astype(g.dtype)
        down = jnp.einsum("dhk,hk->hd", read, g[self.position, 0]) * scale
        self.parts = heads.at[self.index].set(down), skips, direct
        return g

    @property
    def _groups(self) -> int:
        return self.frozen.transformer.config.num_kv_heads

    def read(self, source: str, g: Float[Array, "T 1 D"]) -> None:
        """What the source reads of each part."""
        self.sums = _read(self.parts, self.sums, getattr(self.writes, source)[self.index])

    def inject(self, g: Float[Array, "T 1 D"]) -> Float[Array, "T 1 D"]:
        """The target's own vector is the direct part."""
        heads, skips, direct = self.parts
        here = (self.targets.layer[0] == self.index) & (self.targets.position[0] == self.position)
        self.parts = heads, skips, direct + jnp.where(here, self.targets.vector[0], 0)
        return super().inject(g)

    def past_dictionary(self, g: Float[Array, "T 1 D"]) -> Float[Array, "T 1 D"]:
        """What an SAE cuts is cut of every part."""
        if (cut := self.is_cut(g.shape[0])) is not None:
            self.parts = jax.tree.map(lambda part: jnp.where(cut[self.position], 0, part), self.parts)
        return super().past_dictionary(g)

    def through_skip(self, g: Float[Array, "T 1 D"]) -> Float[Array, "..."]:
        """What skip connections hand down is a part of its own."""
        back = super().through_skip(g)
        if back.ndim:
            heads, skips, direct = self.parts
            self.parts = heads, skips.at[self.index].set(back[self.position, 0]), direct
        return back
