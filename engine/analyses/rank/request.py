"""`cw.rank`: which layers and neurons a model answers with, asked for in a notebook."""

from collections.abc import Sequence

from causeway.engine import scalars
from causeway.engine.analyses.evaluate.request import pair_of
from causeway.engine.analyses.evaluate.teacher_forcing import scorable
from causeway.engine.analyses.rank.neurons import DEFAULT
from causeway.engine.analyses.rank.questions import estimating, questions, sides
from causeway.engine.analyses.rank.rank import Ranking, Settings, check_rank, rank_prompts
from causeway.engine.model.handle import Model, check_model
from causeway.engine.reading.passes import ROWS


def rank(
    model: Model,
    prompts: Sequence[tuple[str, str, str]],
    *,
    layers: Sequence[int] | None = None,
    keep_layers: int = 6,
    keep: int = 100,
    criteria: Sequence[str] = DEFAULT,
    attention: bool = False,
    held_out: float = 0.5,
    seed: int = 0,
    include_first: bool = False,
    batch_rows: int = ROWS,
) -> Ranking:
    """Critical layers by ablation, and their neurons by activity, direct effect or saliency.

    Args:
        model: a loaded model with a tokenizer.
        prompts: (prompt, right answer, wrong answer), texts; answers begin with their space.
        layers: that are ablated and ranked, negative ones counted from the end (default: all).
        keep_layers: critical layers, by the effect of ablating their MLP.
        keep: neurons kept of each critical layer.
        criteria: what neurons are ranked by: mean_abs, variance, saliency, each over tokens or at the output position
            (mean_abs_last, ...), direct_effect, direct_effect_abs.
        attention: whether to ablate what attentions write too.
        held_out: share of the prompts on which effects are estimated; the others choose layers and neurons and give
            the means. 0: all do both, and effects of what is chosen are too large.
        seed: of the split.
        include_first: whether position 0 counts, whose stream is unlike all others.
        batch_rows: rows of a pass.

    Returns:
        Tables of layers and of neurons. Outcomes are differences of the answers' logits, nats, where the answers part.

    Raises:
        ValueError: something else than three texts, answers that never part, too few prompts, a layer that the model
            lacks, an unknown criterion.
        NotFiniteError: a pass does not give numbers.
    """
    check_model(model)
    first = 0 if scalars.truth(include_first, "include_first") else 1
    attention = scalars.truth(attention, "attention")
    settings = Settings(layers, keep_layers, keep, criteria, attention, first, batch_rows)
    if isinstance(prompts, str) or not isinstance(prompts, Sequence) or not prompts:
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of (prompt, right, wrong)")
    listed = [scorable(model, pair_of(texts, f"prompt {number}")) for number, texts in enumerate(prompts)]
    asked = questions(listed, first)
    check_rank(model, asked, settings)
    choosing, others = sides(asked, estimating([prompt.record for prompt in listed], held_out, seed))
    return rank_prompts(model, choosing, others, settings)
