"""`cw.adversarial` and `cw.adversarial_words`: prompts that make a model err, asked for in a notebook."""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from causeway.engine import scalars
from causeway.engine.analyses.adversarial.adversarial import Adversarial, Wanted, adversarial_prompts
from causeway.engine.analyses.adversarial.bases import HOLE, WORD, Base, check_insert
from causeway.engine.analyses.adversarial.measure import Gauge
from causeway.engine.analyses.adversarial.templates import bases_of
from causeway.engine.analyses.adversarial.words import given_words, word_weights
from causeway.engine.analyses.decompose.decompose import Decomposition
from causeway.engine.analyses.decompose.lexicon import token_lexicon
from causeway.engine.analyses.evaluate.request import pair_of
from causeway.engine.analyses.evaluate.teacher_forcing import scorable
from causeway.engine.choosing import TRAIN, by_split, divided
from causeway.engine.directions import Directions
from causeway.engine.model.handle import Model, check_model
from causeway.engine.prompt_record import PromptRecord, check_pair
from causeway.engine.reading.passes import ROWS

INSERT = f"{HOLE} "
PER_TEMPLATE = 64


def adversarial_words(
    decompositions: Sequence[Decomposition], scores: pa.Table, along: str | None = None
) -> dict[str, float]:
    """Words that neurons say, with how they push a direction: below 0 the wrong way.

    Args:
        decompositions: of `cw.decompose`, a layer each.
        scores: `table` of `cw.second_order`, of which the column effect counts.
        along: the name of the direction that is meant; None for the table's first.

    Raises:
        ValueError: something else, no such direction, or no neuron of the table that has a decomposition.
    """
    listed = isinstance(decompositions, list | tuple)
    if not listed or not all(isinstance(found, Decomposition) for found in decompositions):
        raise ValueError(
            f"decompositions: got {scalars.shown(decompositions)}; needs a list of what cw.decompose returns"
        )
    if not isinstance(scores, pa.Table) or not {"layer", "neuron", "direction", "effect"} <= {*scores.column_names}:
        raise ValueError("scores: needs the table of cw.second_order, with layer, neuron, direction and effect")
    rows = scores.select(["layer", "neuron", "direction", "effect"]).to_pylist()
    names = list(dict.fromkeys(row["direction"] for row in rows))
    if (wanted := names[0] if along is None else along) not in names:
        raise ValueError(f"along: got {along!r}; the scores are on {', '.join(names)}")
    entries = {found.layer: dict(zip(found.neuron.tolist(), found.entries, strict=True)) for found in decompositions}
    own = {(row["layer"], row["neuron"]): row["effect"] for row in rows if row["direction"] == wanted}
    return word_weights(entries, own)


def adversarial(
    model: Model,
    prompts: Sequence[tuple[str, str, str] | PromptRecord],
    words: Sequence[str] | Mapping[str, float],
    *,
    directions: Directions | None = None,
    along: str | None = None,
    insert: str | None = None,
    at: str = "",
    slots: Sequence[str] = (),
    lexicon: Sequence[str] | None = None,
    num_words: int = 20,
    keep: int = 5,
    held_out: float = 0.5,
    position: str = "last",
    seed: int = 0,
    batch_rows: int = ROWS,
) -> Adversarial:
    """Find words that make the model err on prompts, and check that they do on others.

    The words that push the direction furthest the wrong way on some prompts are kept; the others tell how often the
    model errs with them, with random words, words of the other way, and none. After the adversarial images of
    Gandelsman, Efros and Steinhardt (2025).

    Args:
        model: a loaded model with a tokenizer.
        prompts: (prompt, right answer, wrong answer), texts; or records, a template among them by its field `slots`.
        words: `cw.adversarial_words(...)`, or words of one's own: with weights, of which those below 0 are expected to
            push the wrong way, or without.
        directions: what is pushed, right answers on its positive side; None: the margin of each prompt's answers.
        along: the name of one of them; None for the first.
        insert: how a word is put in, such as "{word} ", the default unless slots are given.
        at: the field of records before whose value it is put; "" for the beginning.
        slots: fields whose values are replaced by words that are values of them, where the answer is then known.
        lexicon: texts that random words are drawn from; default: all tokens.
        num_words: tried each way. keep: words of an arm.
        held_out: share of the prompts that does not choose; of records with the split train and others, train chooses.
        position: the token read for the direction.
        seed: key of every draw. batch_rows: prompts of a pass.

    Returns: `prompts` (records), `words` and `summary`; printed, `lines()`.

    Raises:
        ValueError: arguments that cannot mean what they say, words that fit nowhere, or no prompt answered rightly.
        NotFiniteError: a pass is not all numbers.
    """
    check_model(model)
    if directions is not None and not isinstance(directions, Directions):
        raise ValueError(f"directions: got {scalars.shown(directions)}; needs what cw.direction returns, or None")
    own_seed, asked = scalars.seed(seed), asked_slots(slots)
    put = check_insert(insert) if insert is not None else "" if asked else INSERT
    bases = _bases(prompts, asked, put, scalars.text(at, "at"), own_seed)
    choosing, held = sides(bases, scalars.real(held_out, "held_out", 0, 1), own_seed)
    wanted = Wanted(
        given_words(words), filled_slots(bases, asked), _lexicon(model, lexicon),
        scalars.integer(num_words, "num_words", 1), scalars.integer(keep, "keep", 1), own_seed,
    )  # fmt: skip
    rows = scalars.integer(batch_rows, "batch_rows", 1)
    gauge = Gauge(model, directions, along, scalars.text(position, "position"), rows)
    return adversarial_prompts(gauge, choosing, held, wanted, lambda record: scorable(model, record))


def sides(bases: Sequence[Base], share: float, seed: int) -> tuple[list[Base], list[Base]]:
    """Prompts that choose, and those held out: by the split train where there are others, else a share of them.

    Raises:
        ValueError: nothing on one side.
    """
    records = [base.record for base in bases]
    chooses = divided(records, share, TRAIN if by_split(records) else "", seed)
    found = [[base for base, own in zip(bases, chooses, strict=True) if own == side] for side in (True, False)]
    return found[0], found[1]


def _bases(prompts: Sequence[Any], slots: tuple[str, ...], insert: str, at: str, seed: int) -> list[Base]:
    if isinstance(prompts, str | Mapping) or not isinstance(prompts, Sequence) or not prompts:
        raise ValueError(f"prompts: got {scalars.shown(prompts)}; needs a list of (prompt, right, wrong)")
    records = [_record(prompt, number) for number, prompt in enumerate(prompts)]
    return [base for record in records for base in bases_of(record, slots, insert, at, PER_TEMPLATE, seed)]


def asked_slots(slots: Sequence[str]) -> tuple[str, ...]:
    """The fields whose values are replaced.

    Raises:
        ValueError: no list of names, or `word`, which is the name of what is inserted.
    """
    if not isinstance(slots, list | tuple) or not all(isinstance(slot, str) for slot in slots) or WORD in slots:
        raise ValueError(f"slots: got {scalars.shown(slots)}; needs a list of fields, none of them {WORD!r}")
    return tuple(dict.fromkeys(slots))


def filled_slots(bases: Sequence[Base], asked: Sequence[str]) -> tuple[str, ...]:
    """The slots that are filled: those asked for, and that of a word where there is one."""
    return (*([WORD] if any(WORD in base.values for base in bases) else []), *asked)


def _lexicon(model: Model, lexicon: Sequence[str] | None) -> Sequence[str]:
    if lexicon is None:
        return token_lexicon(model).texts
    if not isinstance(lexicon, list | tuple) or not all(isinstance(text, str) for text in lexicon):
        raise ValueError(f"lexicon: got {scalars.shown(lexicon)}; needs a list of words, or None for all tokens")
    return lexicon


def _record(prompt: tuple[str, str, str] | PromptRecord, number: int) -> PromptRecord:
    if not isinstance(prompt, PromptRecord):
        return pair_of(prompt, f"prompt {number}")
    check_pair(prompt)
    return prompt
