"""The demo on a model of your own: which heads say the name, what it answers without them, where it knows.

In "When Mary and John went to the store, Mary gave a drink to" a model says " John". Every head is ablated at the last
token, on many such prompts; some prompts choose the heads that matter most, and the others tell how much each is worth.
Then the chosen ones are ablated together. One prompt is looked at token by token, and a model with a chat template
answers a question.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causeway.engine.analyses.attribute.targets import Target
    from causeway.engine.model.handle import Model
    from causeway.engine.prompt_record import PromptRecord

PROMPTS, SHOWN, STEPS = 40, 6, (1, 2, 4, 8, 16)
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


def show_heads(model: Model, workdir: Path, seed: int) -> None:
    """Print what was found; the picture is written to `workdir`."""
    records = _records(model, seed)
    targets = [_target(model, record) for record in records]
    print(f"{model.name}: {model.config.num_layers} layers of {model.config.num_heads} heads")
    print(f"{len(records)} prompts, such as {records[0].text!r}: {records[0].correct!r}, not {records[0].incorrect!r}")
    texts = [record.text for record in records]
    _without(model, texts, targets, _strongest(model, texts, targets))
    _draw(model, records, targets, workdir / "indirect_object.png")
    _converse(model)


def _records(model: Model, seed: int) -> list[PromptRecord]:
    from causeway.engine.analyses.prompts.answer_pieces import token_pieces
    from causeway.engine.analyses.prompts.deal import Sizes
    from causeway.engine.analyses.prompts.make import make_prompts

    if model.tokenizer is None:
        raise ValueError(f"--model: {model.name} has no tokenizer; the demo needs one")
    return make_prompts("indirect_objects", Sizes(PROMPTS, 0), seed, token_pieces(model.tokenizer))["train"]


def _target(model: Model, record: PromptRecord) -> Target:
    """The right name's logit less the other's, where they part."""
    import causeway as cw

    right, wrong = cw.diverging_answers(model, record.text, [record.correct, record.incorrect]).tokens
    return cw.logit_difference(right, wrong)


def _strongest(model: Model, texts: list[str], targets: list[Target]) -> list[tuple[int, int]]:
    """All heads, ablated alone: chosen on every other prompt, estimated on the rest."""
    import causeway as cw

    places = [(layer, head) for layer in range(model.config.num_layers) for head in range(model.config.num_heads)]
    arms = [[cw.UnitEdit(layer, head, scope="last_prompt")] for layer, head in places]
    found = cw.effects(model, texts, targets, arms)
    right = (found.clean > 0).mean()
    print(f"right in {right:.0%}; the right name's logit is {found.clean.mean():.2f} above the other's, in the mean\n")
    print(f"{len(places)} heads, each ablated alone at the last token; half of the prompts choose, the others tell:")
    effects = found.table(slice(0, None, 2))["effect"].to_numpy()
    estimates = found.table(slice(1, None, 2)).to_pylist()
    order = effects.argsort()
    for arm in [*order[:SHOWN], *order[:-3:-1]]:
        row = estimates[arm]
        print("  head {:>5}: {effect:+.2f} in [{low:+.2f}, {high:+.2f}]".format("{}.{}".format(*places[arm]), **row))
    return [places[arm] for arm in order]


def _without(model: Model, texts: list[str], targets: list[Target], heads: list[tuple[int, int]]) -> None:
    """The strongest together, on the prompts that did not choose them."""
    import causeway as cw

    print("\nablated together, on the prompts that did not choose them:")
    arms = [[cw.UnitEdit(*place, scope="last_prompt") for place in heads[:count]] for count in STEPS]
    found = cw.effects(model, texts[1::2], targets[1::2], arms)
    for count, values in zip(STEPS, found.values.T, strict=True):
        change = f"{found.clean.mean():.2f} -> {values.mean():.2f}"
        print(f"  without the {count:2} strongest: {change}; the other name wins in {(values < 0).mean():.0%}")


def _draw(model: Model, records: list[PromptRecord], targets: list[Target], path: Path) -> None:
    """Where the streams of two prompts have to be exchanged for the other answer, as a picture."""
    import numpy as np

    import causeway as cw

    pairs = zip(records, targets, strict=True)
    alike = (pair for pair in pairs if len(model.tokens(pair[0].text)) == len(model.tokens(pair[0].counterfactual)))
    record, target = next(alike, (None, None))
    if record is None or target is None:
        return
    table = cw.activation_patching(model, record.text, record.counterfactual, target)
    shares = table.recovered
    position = int(shares[:, :-1].max(axis=0).argmax())
    held, known = (np.flatnonzero(shares[:, at] > 0.5) for at in (position, -1))
    cw.save_heat_map(table, path)
    print(f"\nwhere it knows: {path}, the stream of {record.text!r}")
    print(f"  put at each of {table.values.size} places of {record.counterfactual!r}: token {position}")
    last = f"up to layer {held[-1]}" if len(held) else "at no layer"
    print(f"  {table.tokens[position]!r} decides {last}, the last token from layer {known[0]} on")


def _converse(model: Model) -> None:
    """A question through the model's chat template."""
    import causeway as cw

    if model.chat_template is None:
        return
    talk = cw.chat(model, QUESTION)
    answer = cw.generate(model, talk, temperature=0.0, max_new_tokens=24)[0].texts[0][0]
    print(f"\na conversation, as the model's template writes it ({len(talk)} tokens): {talk.text!r}")
    print(f"it answers {answer!r}")
