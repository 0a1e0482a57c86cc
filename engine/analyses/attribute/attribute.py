"""Exact attribution graphs of prompts: from tokens to a graph in one call.

1. One forward pass, recorded (`record`). 2. Dictionaries encode what was recorded; active features, errors and
embeddings become sources (`sources`). 3. Rows of the targets, the most probable next tokens. 4. Rows of features, the
most influential first: influence is ranked over the rows known so far, the next block of unvisited features is taken,
and so on under the node budget; when the budget covers all active features, they are taken without ranking. 5. The
graph over the features that have rows.

Source: Ameisen et al. 2025, "Circuit Tracing: Revealing Computational Graphs in Language Models"; the order of work is
that of circuit-tracer 0.4, of which this is an independent implementation.

Cost: one forward pass, one encode, and the rows (`pullback`); memory: writers L T M D, patterns L H T^2, stored edges.
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan, batches
from causeway.engine.analyses.attribute.edge_rows import SourceColumns, SparseRows
from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.influence import influence
from causeway.engine.analyses.attribute.targets import ChosenTargets, Target, Wanted, choose_targets, named_targets
from causeway.engine.devices import RowParallel, parallel_of
from causeway.engine.frozen.pullback import Frozen, Scores, Targets, feature_targets, logit_targets, pullback
from causeway.engine.frozen.record import record_prompt
from causeway.engine.frozen.sources import Transcoders, active_features, check_of_model, fit_in_memory, gather_sources
from causeway.engine.gathered import to_host
from causeway.engine.model.handle import Model, Prompt
from causeway.engine.progress import Step

READS = ("mlp_in", "mlp_norm", "resid_mid")


def attribute(
    model: Model,
    transcoders: Transcoders,
    prompt: Prompt,
    *,
    targets: Wanted | Sequence[Wanted] | None = None,
    plan: AttributionPlan = AttributionPlan(),  # noqa: B008 (immutable)
    parallel: RowParallel | None = None,
) -> AttributionGraph:
    """The attribution graph of one prompt.

    Args:
        model: a loaded model.
        transcoders: per-layer or cross-layer transcoders, or SAEs on the residual stream.
        prompt: text (the model's BOS policy applies) or token ids.
        targets: tokens (ids, or texts that are one token after the prompt) or directions; None takes the most probable
            next tokens.
        plan: budgets and widths.
        parallel: devices to spread rows over (default: those of the weights).

    Raises:
        ValueError: a prompt of one token, dictionaries that do not cover the model or read a site whose adjoint is not
            known, a target outside the vocabulary, or a prompt without active features.
    """
    tokens = model.tokens(prompt)
    check_request(model, transcoders, tokens)
    wanted = named_targets(model, prompt, targets)
    if plan.cut and transcoders.config.is_transcoder:
        raise ValueError("plan.cut: True, but transcoders do not stand in the stream; it is for SAEs of resid_post")
    return _Prompt(model, transcoders, tokens, plan, parallel or parallel_of(model.transformer, transcoders)).graph(
        wanted
    )


def check_request(model: Model, transcoders: Transcoders, tokens: Sequence[int]) -> None:
    """Refuse what cannot be attributed, before anything is compiled.

    Raises:
        ValueError: see `attribute`.
    """
    config = transcoders.config
    if len(tokens) < 2:
        raise ValueError(f"prompt: {len(tokens)} token; a graph explains the next token by two or more")
    if config.kind == "matching_pursuit" or config.input_norm != "none":
        raise ValueError(
            f"transcoders: kind {config.kind!r} with input_norm {config.input_norm!r}; needs a dictionary whose "
            "pre-activations are linear in the stream"
        )
    check_of_model(model, transcoders)
    check_streams(transcoders)
    if config.is_transcoder and (missing := sorted(set(range(model.config.num_layers)) - set(config.layers))):
        raise ValueError(
            f"transcoders: none for layers {missing} of {model.name}; a graph needs one for every layer, because an "
            "MLP without one would go unexplained"
        )


def check_streams(transcoders: Transcoders) -> None:
    """Refuse dictionaries of streams that the frozen pass does not read and write features at.

    Raises:
        ValueError: naming the streams.
    """
    config = transcoders.config
    if not config.is_transcoder:
        if config.stream != "resid_post":
            raise ValueError(f"transcoders: SAEs of {config.stream}; needs SAEs of resid_post, or transcoders of MLPs")
        if hasattr(transcoders, "W_skip"):
            raise ValueError("transcoders: SAEs with skip connections; needs SAEs without, whose parts make the stream")
        return
    if config.stream not in READS or config.output_stream != "mlp_out":
        raise ValueError(
            f"transcoders: read {config.stream} and write {config.output_stream}; needs transcoders of MLPs, which "
            f"read {', '.join(READS)} and write mlp_out"
        )


class _Prompt:
    """One prompt's frozen pass and sources."""

    def __init__(
        self,
        model: Model,
        transcoders: Transcoders,
        tokens: Sequence[int],
        plan: AttributionPlan,
        parallel: RowParallel,
    ):
        self.model, self.tokens, self.plan, self.parallel = model, tokens, plan, parallel
        record = record_prompt(model.transformer, tokens, transcoders.config)
        self.active = active_features(transcoders, record, len(tokens), plan.ignore_first)
        if not len(self.active.nodes):
            raise ValueError("prompt: no feature of these transcoders is active on it; do they belong to this model?")
        ids, values = jnp.asarray(self.active.ids), jnp.asarray(self.active.values)
        hold = fit_in_memory(transcoders, self.active.ids)
        sources = gather_sources(transcoders, record, ids, values, plan.ignore_first, plan.cut, hold)
        self.logits = to_host(record.logits[len(tokens) - 1])
        self.width = record.embedding.shape[0]
        self.frozen = parallel.replicate(Frozen(model.transformer, transcoders, record, sources))
        self.columns = SourceColumns(self.active, model.config.num_layers, len(tokens))

    def graph(self, wanted: Sequence[Target | int] | None) -> AttributionGraph:
        """All rows, and the graph over those features that have one."""
        chosen = choose_targets(self.model, self.tokens, self.logits, wanted, self.plan)
        rows = SparseRows(self.columns.count, self.plan.floor(self.columns.count))
        self._add_logits(rows, chosen)
        weights = np.array([logit.probability for logit in chosen.logits])
        total = len(self.active.nodes)
        budget = min(self.plan.max_feature_nodes or total, total)
        if budget == total:
            self._add_features(rows, np.arange(total))
        else:
            self._add_by_influence(rows, budget, weights)
        return self._package(rows, chosen)

    def _add_logits(self, rows: SparseRows, chosen: ChosenTargets) -> None:
        count, top = len(chosen.logits), self.model.config.num_layers
        last = jnp.int32(len(self.tokens) - 1)
        for start in range(0, count, self.plan.rows):
            vectors = chosen.vectors[start : start + self.plan.rows]
            padded = np.pad(vectors, ((0, self.plan.rows - len(vectors)), (0, 0)))
            targets = logit_targets(self.frozen.transformer, self.frozen.record, jnp.asarray(padded), last)
            scores = self._pull([targets], self.width)[0]
            values, columns = self.columns.read(scores, len(vectors), top)
            rows.add(values, columns, np.full(len(vectors), -1), np.full(len(vectors), top))

    def _add_by_influence(self, rows: SparseRows, budget: int, weights: np.ndarray) -> None:
        total = len(self.active.nodes)
        visited = np.zeros(total, bool)
        with Step("features of the graph", budget, "feature") as step:
            while (left := budget - int(visited.sum())) > 0:
                edges = rows.edges()
                on_logits = np.concatenate([weights, np.zeros(len(edges.columns) - len(weights))])
                scores = np.where(visited, -1.0, influence(edges, on_logits)[:total])
                block = np.argsort(-scores, kind="stable")[: min(left, self.plan.update_every)]
                self._add_features(rows, block)
                visited[block] = True
                step.advance(len(block))

    def _add_features(self, rows: SparseRows, features: Int[np.ndarray, " R"]) -> None:
        """Rows of some active features, like with like, one batch a device at a time."""
        nodes = self.active.nodes[features]
        todo = list(batches(nodes, self.plan.rows, self.width))
        for width in sorted({width for _, width in todo}):
            same = [batch for batch, needed in todo if needed == width]
            for stripe in self.parallel.deal(same):
                targets = [self._targets(nodes[batch]) for batch in stripe]
                for batch, scores in zip(stripe, self._pull(targets, width), strict=True):
                    values, columns = self.columns.read(scores, len(batch), int(nodes[batch, 0].max()))
                    rows.add(values, columns, features[batch], nodes[batch, 0])

    def _targets(self, nodes: Int[np.ndarray, "r 3"]) -> Targets:
        """Padded by repeating the first target."""
        filled = np.concatenate([nodes, np.repeat(nodes[:1], self.plan.rows - len(nodes), axis=0)])
        return feature_targets(self.frozen, jnp.asarray(filled))

    def _pull(self, targets: list[Targets], width: int) -> list[Scores]:
        """Scores of one batch a device."""
        program = self.parallel.program(pullback, width=width, cut=self.plan.cut, first=self.plan.ignore_first)
        scores = to_host(program(self.frozen, self.parallel.place(targets)))
        return self.parallel.apart(scores, len(targets))

    def _package(self, rows: SparseRows, chosen: ChosenTargets) -> AttributionGraph:
        """Feature rows in lexicographic order, then logits; columns of the features that have rows."""
        edges, count = rows.edges(), len(self.active.nodes)
        own = np.flatnonzero(edges.columns >= 0)
        order = np.concatenate([own[np.argsort(edges.columns[own])], np.flatnonzero(edges.columns < 0)])
        selected = np.sort(edges.columns[own])
        columns = np.concatenate([selected, np.arange(count, edges.matrix.shape[1])])
        matrix = edges.matrix[order]
        return AttributionGraph(
            tokens=tuple(int(token) for token in self.tokens),
            num_layers=self.model.config.num_layers,
            features=self.active.nodes[selected],
            activations=self.active.activations[selected],
            logits=chosen.logits,
            edges=matrix if len(columns) == matrix.shape[1] else matrix[:, columns],
            totals=edges.totals[order],
            active=count,
        )
