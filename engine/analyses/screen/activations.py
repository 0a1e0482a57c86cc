"""The screening pass: feature values of labelled prompts, streamed layer by layer into the groups' sums.

Prompts are run as `reading.read` runs them, and each layer's feature values, [B, F], go straight into `GroupSums`. What
a prompt contributes:

    last   the feature values at its last token, or at another one that is named
    mean   their mean over its tokens      (rows that repeat a prompt's tokens are not samples: one row a prompt)
    max    their greatest value over its tokens

mean and max leave out a begin-of-sequence token at the start: its stream is of another size than all others.

A prompt's values are a function of the prompt, the rows of a pass and its bucket, to the bit: neither the order of
the prompts nor their neighbours change them, and so they change the sums by float64 rounding alone.

Memory: of [prompts, layers, F] only what is not 0.
Cost: one forward pass a prompt, and 2 P D F operations (times its tokens for mean and max).
"""

from collections.abc import Sequence

from causeway.engine.analyses.screen.accumulate import GroupSums
from causeway.engine.analyses.screen.positions import POSITIONS, Position
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.fit import AnyHolder, fitted
from causeway.engine.dictionary.placement import Holder
from causeway.engine.model.transformer import Transformer
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.reading.job import Kept, read_kept
from causeway.engine.reading.passes import ROWS, ReadRow, all_places, check_read, one_place
from causeway.engine.reading.reductions import Last, Max, Mean, Reduction
from causeway.engine.tokenized_prompt import TokenizedPrompt

REDUCTIONS: dict[Position, Reduction] = {"last": Last(), "mean": Mean(), "max": Max()}


def group_sums(
    transformer: Transformer,
    dictionary: Holder,
    prompts: Sequence[TokenizedPrompt],
    groups: tuple[str, str],
    *,
    strata: Sequence[str] = (),
    bos: int | None = None,
    position: Position = "last",
    at: Sequence[int] | None = None,
    rows: int = ROWS,
    parallel: RowParallel | None = None,
    kept: Kept | None = None,
) -> GroupSums:
    """Sums of both groups' feature values at every layer of the dictionaries.

    Args:
        dictionary: any holder; its layers and stream say what is read.
        prompts: each with its label.
        groups: two labels, the reference first.
        strata: fields whose values together are a prompt's stratum, in which it is compared too.
        bos: the token that begins a text, which means and maxima over tokens leave out.
        at: with `last`, the position of each prompt that is read in the last one's stead.
        rows: rows of a pass, per device; part of what fixes the bits.
        parallel: devices the rows are spread over (default: those of the weights).
        kept: where what is read is kept, so that the same call goes on after an interruption.

    Raises:
        ValueError: before anything is compiled, for a group with fewer than two prompts, a label that is no group, a
            prompt without a field of the strata, an empty prompt or one longer than the context, or dictionaries of
            another width or of layers not there.
        NotFiniteError: a prompt's pass, or a feature, is not all numbers.
    """
    sums = GroupSums(groups)
    cells = [(prompt.record.group, stratum_of(prompt.record, strata)) for prompt in prompts]
    check_groups([group for group, _ in cells], groups)
    listed = [_row(prompt.tokens, bos, position) for prompt in prompts]
    if at is not None:
        listed = [ReadRow(prompt.tokens, [place]) for prompt, place in zip(prompts, at, strict=True)]
    dictionary = _checked(transformer, dictionary, listed, position, rows)
    parts = read_kept(
        kept, transformer, listed, (dictionary.config.stream,), dictionary, REDUCTIONS[position], batch_rows=rows,
        parallel=parallel, slots=one_place if position == "last" else all_places,
    )  # fmt: skip
    for part in parts:
        labels, within = zip(*(cells[i] for i in part.rows), strict=True)
        sums.update(part.layer, part.values["values"], labels, within)
    return sums


def stratum_of(record: PromptRecord, strata: Sequence[str]) -> str:
    """A prompt's values of some fields, at its top or in an object `strata`; "" for no fields.

    Raises:
        ValueError: it lacks one.
    """
    inner = record.fields.get("strata")
    placed = {"behaviour": record.behaviour, "split": record.split, "id": record.id, "group": record.group}
    fields = {**placed, **record.fields, **(inner if isinstance(inner, dict) else {})}
    if missing := [name for name in strata if name not in fields]:
        has = ", ".join(sorted(fields))
        raise ValueError(f"strata: {record.where} has no field {missing[0]!r} to stratify by; it has {has}")
    return ", ".join(f"{name} {fields[name]}" for name in strata)


def check_groups(labels: Sequence[str], groups: tuple[str, str]) -> None:
    """Refuse labels that cannot be compared.

    Raises:
        ValueError: a label that is no group, or a group with fewer than two prompts.
    """
    found = {label: labels.count(label) for label in sorted(set(labels))}
    listed = ", ".join(f"{label} ({count})" for label, count in found.items()) or "none"
    if unknown := sorted(set(found) - set(groups)):
        raise ValueError(f"prompts: label {unknown[0]!r} is not among the groups {groups}; relabel or drop its prompts")
    for group in groups:
        if found.get(group, 0) < 2:
            raise ValueError(
                f"groups: {group!r} has {found.get(group, 0)} prompts, and a comparison needs two or more; the labels "
                f"that came: {listed}"
            )


def _checked(
    transformer: Transformer, dictionary: AnyHolder, rows: Sequence[ReadRow], position: str, batch_rows: int
) -> AnyHolder:
    if position not in POSITIONS:
        raise ValueError(f"position: got {position!r}; needs one of {', '.join(POSITIONS)}")
    check_read(transformer, rows, batch_rows)
    return fitted(dictionary, transformer.config, "this model")


def _row(tokens: tuple[int, ...], bos: int | None, position: Position) -> ReadRow:
    places = range(int(len(tokens) > 1 and tokens[0] == bos), len(tokens))
    return ReadRow(tokens, places[-1:] if position == "last" else places)
