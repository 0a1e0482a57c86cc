"""The two calls of a notebook: `run` and `generate` on a loaded model, with edits and taps written by hand.

They prepare what the engine's own passes take (`engine.model.forward`, `engine.model.generate`) and name what comes
back. Sweeps do not go through here; they make their arrays by the thousand.
"""

import contextlib
import dataclasses
import reprlib
from collections.abc import Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int

from causeway.engine import scalars
from causeway.engine.dictionary.dictionary import Dictionary, check_stack
from causeway.engine.dictionary.fit import fitted
from causeway.engine.intervention.apply import BoundEdit, bind
from causeway.engine.intervention.edits import check_edit
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.named import named_edits, named_taps
from causeway.engine.intervention.requests import AnyEdit, Tap, edit_arrays, edit_spec
from causeway.engine.intervention.taps import Record
from causeway.engine.model import forward
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.handle import Model, Prompt
from causeway.engine.model.prompt_list import prompt_list
from causeway.engine.model.rollouts import Generation
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout, segment_lengths
from causeway.engine.model.stops import stops_of


@dataclasses.dataclass(frozen=True)
class RunResult:
    """One forward pass of several prompts.

    Attributes:
        tokens: ids each prompt was run as. logits: one [T, V] array a prompt. records: for each tap, one array
            [P, T, W] a prompt (`Record.values`, and `ids` for top_k).
        edits_applied: tokens at which each prompt's edits acted.
    """

    tokens: tuple[tuple[int, ...], ...]
    logits: tuple[Float[np.ndarray, "T V"], ...]
    records: tuple[tuple[Record, ...], ...]
    edits_applied: Int[np.ndarray, " prompts"]

    def __repr__(self) -> str:
        lengths = sorted({len(ids) for ids in self.tokens})
        tokens = "-".join(str(n) for n in dict.fromkeys((lengths[0], lengths[-1])))
        taps = ", ".join(repr(record[0]) for record in self.records) or "none"
        return (
            f"RunResult({len(self.tokens)} prompts of {tokens} tokens; logits [T, {self.logits[0].shape[-1]}]; edits "
            f"acted at {int(self.edits_applied.sum())} tokens; taps of the first prompt: {taps})"
        )


def run(
    model: Model,
    prompts: Prompt | Sequence[Prompt],
    *,
    edits: AnyEdit | Sequence[AnyEdit] | Sequence[Sequence[AnyEdit]] = (),
    taps: Tap | str | Sequence[Tap | str] = (),
    dictionary: Dictionary | None = None,
    mode: str = "delta",
) -> RunResult:
    """Run prompts through the model once, with edits and recordings.

    Args:
        prompts: a text or token ids (a list, or an array of numpy, jax or torch), or several of them.
        edits: one list for all prompts, or one list a prompt. dictionary: what feature edits and taps read with.
        mode: delta, or replace (the stream becomes the dictionary's reconstruction).

    Raises:
        ValueError: an empty or too long prompt, or an edit or tap that cannot mean what it says.
        NotFiniteError: streams, logits or what was read are not numbers; it names prompt, layer and site.
    """
    tokens = [model.tokens(prompt) for prompt in prompt_list(prompts)]
    rows = [named_edits(row, model) for row in _rows(edits, len(tokens))]
    named, dictionary = named_taps(taps, model), _fitted(dictionary, model)
    results = []
    for number, (ids, row) in enumerate(zip(tokens, rows, strict=True)):
        with _naming(number):
            results.append(_run_one(model, ids, row, named, dictionary, mode))
    logits, records, applied = zip(*results, strict=True)
    return RunResult(tuple(map(tuple, tokens)), logits, tuple(zip(*records, strict=True)), np.array(applied))


def _run_one(model: Model, ids: Sequence[int], row: Sequence[AnyEdit], taps: tuple[Tap, ...], dictionary, mode: str):
    """One prompt in its bucket alone, so that its bits do not depend on the others."""
    spec = edit_spec([row], dictionary, mode)
    bound: tuple[BoundEdit, ...] = ()
    if spec is not None:
        edit = edit_arrays(spec, [row], len(ids), model.config.d_model)
        check_edit(edit, spec, model.config.num_layers, dictionary)
        bound = (bind(spec, jax.tree.map(jnp.asarray, edit), dictionary),)
    instruments = Instruments(bound, tuple(tap.bind(dictionary, model.config.num_layers) for tap in taps))
    padded = np.zeros((1, bucket_width(len(ids))), np.int32)
    padded[0, : len(ids)] = ids
    out = jax.device_get(forward.run(model.transformer, padded, instruments, jnp.array([len(ids)])))
    applied = sum(int(report.applied[:, : len(ids)].sum()) for report in out.edits)
    records = tuple(_unpadded(record, tap, len(ids)) for record, tap in zip(out.records, taps, strict=True))
    return out.logits[0, : len(ids)], records, applied


def _unpadded(record: Record, tap: Tap, length: int) -> Record:
    """A record of one prompt without the batch axis and the padding."""

    def cut(values):
        if values is None:
            return None
        if tap.stream == "attn_pattern":
            return values[:, 0, :, :length, :length]
        return values[:, 0, :length]

    return Record(cut(record.values), record.valid[0, :length], cut(record.ids))


@dataclasses.dataclass(frozen=True)
class GenerateResult:
    """Rollouts of one prompt.

    Attributes:
        texts: of each row and trial, [rows][trials]. generation: tokens, records and edit reports with rows ordered
            (row, trial); see `Generation`.
    """

    texts: tuple[tuple[str, ...], ...]
    generation: Generation

    def __repr__(self) -> str:
        first = reprlib.repr(self.texts[0][0])
        return f"GenerateResult({len(self.texts)} rows of {len(self.texts[0])} trials; the first: {first})"


def generate(
    model: Model,
    prompts: Prompt | Sequence[Prompt],
    *,
    edits: AnyEdit | Sequence[AnyEdit] | Sequence[Sequence[AnyEdit]] = (),
    taps: Tap | str | Sequence[Tap | str] = (),
    dictionary: Dictionary | None = None,
    mode: str = "delta",
    semantics: str = "cached",
    max_new_tokens: int = 100,
    temperature: float = 0.7,
    top_k: int = 0,
    top_p: float = 1.0,
    trials: int = 1,
    seed: int = 0,
    stop: int | str | Sequence[int | str] | None = None,
    rows: int = 16,
) -> list[GenerateResult]:
    """Continue prompts, token after token, with edits and recordings.

    Args:
        prompts: as for `run`.
        edits: rows to compare, each a list of edits (a plain list of edits is one row); every prompt runs every row.
            Rows share their noise trial by trial. semantics: cached or recomputed.
        stop: token ids and texts that end a rollout beside the model's own stop tokens (`Model.stop_ids`), which are
            all by default; () stops at nothing. A stop is kept at the end of the tokens and, but for the model's own,
            of the text.
        rows: row bucket; results are the same bits for equal buckets.

    Raises:
        ValueError: an empty or too long prompt, or settings, edits or taps that cannot mean what they say.
        NotFiniteError: as `run`.
    """
    trials = scalars.integer(trials, "trials", 1)
    if semantics not in ("cached", "recomputed"):
        raise ValueError(f"semantics: got {semantics!r}; needs cached or recomputed")
    wanted = [named_edits(row, model) for row in _edit_rows(edits)]
    dictionary, seed, stops = _fitted(dictionary, model), scalars.seed(seed), stops_of(model, stop)
    sampling, layout = Sampling(temperature, top_k, top_p, stops.ids), Layout(rows, segment_lengths(max_new_tokens))
    spec = edit_spec(wanted, dictionary, mode)
    bound = tuple(tap.bind(dictionary, model.config.num_layers) for tap in named_taps(taps, model))
    results = []
    for number, ids in enumerate([model.tokens(prompt) for prompt in prompt_list(prompts)]):
        edit = None
        if spec is not None:
            edit = edit_arrays(spec, [row for row in wanted for _ in range(trials)], len(ids), model.config.d_model)
            check_edit(edit, spec, model.config.num_layers, dictionary)
        with _naming(number):
            generation = generate_rows(
                model.transformer, ids, trials=np.tile(np.arange(trials), len(wanted)), layout=layout,
                sampling=sampling, seed=seed, prompt_id=number, edit_spec=spec, edit=edit, dictionary=dictionary,
                taps=bound, recomputed=semantics == "recomputed", ends=stops.ends(model, ids),
            )  # fmt: skip
        texts = [model.continuation(ids, row[row >= 0].tolist()) for row in generation.tokens]
        grouped = tuple(tuple(texts[i : i + trials]) for i in range(0, len(texts), trials))
        results.append(GenerateResult(grouped, generation))
    return results


@contextlib.contextmanager
def _naming(number: int) -> Iterator[None]:
    """Errors of a pass say which of the prompts it was, counted from 0."""
    try:
        yield
    except NotFiniteError as error:
        raise error.of(f"prompt {number}") from None


def _fitted(dictionary: Dictionary | None, model: Model) -> Dictionary | None:
    check_stack(dictionary, "run and generate")
    return None if dictionary is None else fitted(dictionary, model.config, model.name)


def _edit_rows(edits) -> list[Sequence[AnyEdit]]:
    """Rows of edits; one edit or a plain list of them is one row, no edits one row without any."""
    edits = [edits] if isinstance(edits, AnyEdit) else edits
    if not isinstance(edits, Sequence):
        raise ValueError(f"edits: got {scalars.shown(edits)}; needs a list of edits, or a list of such lists")
    edits = list(edits)
    return edits if edits and all(isinstance(row, list | tuple) for row in edits) else [edits]


def _rows(edits, count: int) -> list[Sequence[AnyEdit]]:
    rows = _edit_rows(edits)
    if len(rows) not in (1, count):
        raise ValueError(f"edits: got {len(rows)} rows for {count} prompts; give one row, or one a prompt")
    return rows * count if len(rows) == 1 else rows
