"""`cw.attribute`: one prompt's attribution graph, asked for in the words of a notebook."""

from collections.abc import Sequence

from causeway.engine import scalars
from causeway.engine.analyses.attribute import attribute as frozen
from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
from causeway.engine.analyses.attribute.graph import AttributionGraph
from causeway.engine.analyses.attribute.targets import Wanted
from causeway.engine.calls.argument_order import in_order
from causeway.engine.devices import RowParallel
from causeway.engine.frozen.sources import Transcoders, of_model
from causeway.engine.model.handle import Model, Prompt, check_model


def attribute(
    model: Model,
    prompt: Prompt,
    dictionary: Transcoders | None = None,
    *,
    max_feature_nodes: int | None = 8192,
    max_logits: int = 10,
    desired_logit_prob: float = 0.95,
    update_every: int = 512,
    edge_floor: float | None = None,
    targets: Wanted | Sequence[Wanted] | None = None,
    cut: bool = False,
    parallel: RowParallel | None = None,
) -> AttributionGraph:
    """The attribution graph of one prompt; see the module `attribute` for what it is.

    A token's target is its logit less the mean logit over the vocabulary, a `logit_difference` the difference itself;
    edges and `total_effects()` are in these units. For an answer that is nearly certain they say little about the
    probability, which stays at 1 while the logit falls: explain the difference of two answers instead. Total effects
    are sums over paths of a linear account; `intervene` measures what really happens.

    Args:
        model: a loaded model.
        prompt: text (the model's BOS policy applies) or token ids.
        dictionary: per-layer or cross-layer transcoders, or SAEs on the residual stream.
        max_feature_nodes: features in the graph, by influence; None takes all that are active.
        max_logits: without targets, the most next tokens that are explained.
        desired_logit_prob: without targets, the most probable next tokens are taken until they hold this together.
        update_every: features whose rows are computed between two rankings by influence; fewer choose more exactly.
        edge_floor: share of a row's total below which edges are not stored (default: by the number of sources).
        targets: tokens (ids, or texts that are one token after the prompt) or directions (`logit_difference`).
        cut: with SAEs on the stream, whether reconstruction and error are the only way through it.
        parallel: devices to spread rows over (default: those of the weights).

    Raises:
        ValueError: see `attribute.attribute`.
    """
    check_model(model)
    if not isinstance(parallel, RowParallel | None):
        raise ValueError(f"parallel: got {scalars.shown(parallel)}; needs what engine.devices.local_parallel returns")
    prompt, transcoders = in_order("attribute", prompt, dictionary)
    plan = AttributionPlan(
        max_feature_nodes=max_feature_nodes, max_logits=max_logits, desired_logit_prob=desired_logit_prob,
        update_every=update_every, edge_floor=edge_floor, cut=cut,
    )  # fmt: skip
    return frozen.attribute(model, of_model(model, transcoders), prompt, targets=targets, plan=plan, parallel=parallel)
