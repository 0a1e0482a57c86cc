"""`cw.generate`: prompts continued token after token, under the arms that are compared."""

import dataclasses
import reprlib
from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from causeway.engine import scalars
from causeway.engine.calls.asked import Arms, Asked, Edits, asked, edit_arrays_of
from causeway.engine.calls.by_name import Tapped
from causeway.engine.devices import RowParallel
from causeway.engine.dictionary.placement import Holder
from causeway.engine.frozen.record import held_of_prompt
from causeway.engine.intervention.hold import AnyHolds
from causeway.engine.intervention.tap_requests import Tap
from causeway.engine.intervention.void import check_void
from causeway.engine.model.buckets import row_width
from causeway.engine.model.handle import Model, Prompt, check_model
from causeway.engine.model.prompts import PromptRows, generate_prompts
from causeway.engine.model.rollouts import Generation
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout, segment_lengths
from causeway.engine.model.stops import Stops, stops_of


@dataclasses.dataclass(frozen=True)
class GenerateResult:
    """Rollouts of one prompt. `gen[name]`, `gen[name, layer]` and so on give what taps read by name.

    `gen["resid_post", 12]` is [A, trials, N, D] with arms A (without `arms` there is one) and steps N: step 0 is the
    last token of the prompt, step t the t-th new one. `gen["resid_post"]` is [A, trials, P, N, D]. From P on the axes
    are those of `run`, steps in the place of tokens. What lies beyond the end of a rollout is zero.

    Attributes:
        texts: of each arm and trial, [arms][trials].
        generation: tokens, records and edit reports with rows ordered (arm, trial); see `Generation`.
        tapped: the taps, by name.
    """

    texts: tuple[tuple[str, ...], ...]
    generation: Generation
    tapped: Tapped = dataclasses.field(repr=False)

    def __getitem__(self, key: Any) -> np.ndarray:
        """What a tap read.

        Raises:
            ValueError: nothing was tapped there, or the key does not say what.
        """
        number, layer = self.tapped.find(key)
        values = self.generation.records[number].values
        values = np.asarray(values).reshape(len(self.texts), len(self.texts[0]), *values.shape[1:])
        return np.moveaxis(values, 3, 2) if layer is None else values[:, :, :, layer]

    def __repr__(self) -> str:
        first = reprlib.repr(self.texts[0][0])
        return f"GenerateResult({len(self.texts)} arms of {len(self.texts[0])} trials; the first: {first})"


@dataclasses.dataclass(frozen=True)
class GenerateResults(Sequence[GenerateResult]):
    """Rollouts of several prompts: `gen[i]` is those of prompt i, and `gen["resid_post", 12]` has one array a prompt.

    Attributes:
        prompts: one result a prompt.
    """

    prompts: tuple[GenerateResult, ...]

    @overload
    def __getitem__(self, key: int) -> GenerateResult: ...
    @overload
    def __getitem__(self, key: slice) -> tuple[GenerateResult, ...]: ...
    @overload
    def __getitem__(self, key: str | tuple) -> tuple[np.ndarray, ...]: ...
    def __getitem__(self, key):
        """A prompt's rollouts, or what a tap read, by name.

        Raises:
            ValueError: nothing was tapped there, or the key does not say what.
        """
        if isinstance(key, str | tuple):
            return tuple(result[key] for result in self.prompts)
        return self.prompts[key]

    def __len__(self) -> int:
        return len(self.prompts)

    def __repr__(self) -> str:
        return f"GenerateResults({len(self.prompts)} prompts; the first: {self.prompts[0]!r})"


def generate(
    model: Model,
    prompts: Prompt | Sequence[Prompt],
    *,
    dictionary: Holder | None = None,
    edits: Edits = (),
    arms: Arms | None = None,
    holds: AnyHolds = "open",
    taps: Tap | str | Sequence[Tap | str] = (),
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
    parallel: RowParallel | None = None,
) -> GenerateResults:
    """Continue prompts, token after token, with edits and recordings.

    Args:
        model, prompts, dictionary, edits, arms, taps, mode: as for `run`. Arms share their noise trial by trial.
        holds: of the prompt's tokens; generated ones, which no clean pass ran, hold nothing.
        semantics: cached, or recomputed (an edit acts on the token being processed alone, and leaves no trace behind).
        max_new_tokens: most tokens of a rollout.
        temperature: of the logits; 0 takes the most probable token.
        top_k, top_p: keep the k most probable tokens (0: all), or the most probable that hold this much together.
        trials: rollouts of each arm.
        seed: of all draws.
        stop: token ids and texts that end a rollout beside the model's own stop tokens (`Model.stop_ids`), which are
            all by default; () stops at nothing. A stop is kept at the end of the tokens and, but for the model's own,
            of the text.
        rows: most rows of a bucket, which is the next power of two that holds all rows asked for. It fixes the last
            bits, with a prompt's length and whether there are other prompts; what those are changes none.
        parallel: devices to spread buckets over (default: those of the weights).

    Raises:
        ValueError: an empty or too long prompt, or settings, edits or taps that cannot mean what they say.
        NotFiniteError: as `run`.
    """
    check_model(model)
    trials, rows = scalars.integer(trials, "trials", 1), scalars.integer(rows, "rows", 1)
    recomputed = _is_recomputed(semantics)
    call, stops = asked(model, prompts, dictionary, edits, arms, holds, taps), stops_of(model, stop)
    sampling, seed = Sampling(temperature, top_k, top_p, stops.ids), scalars.seed(seed)
    wanted = [_rows_of(model, number, call, trials, mode, stops) for number in range(len(call.tokens))]
    counts = [len(prompt.trials) for prompt in wanted]
    layout = Layout(row_width(sum(counts), rows), segment_lengths(max_new_tokens))
    found = generate_prompts(
        model.transformer, wanted, layout=layout, sampling=sampling, seed=seed, dictionary=call.dictionary,
        taps=call.taps, recomputed=recomputed,
        batched=len(wanted) > 1 and min(counts) < layout.rows and not call.held, parallel=parallel,
    )  # fmt: skip
    return GenerateResults(tuple(_result(model, generation, trials, call.tapped) for generation in found))


def _is_recomputed(semantics: str) -> bool:
    if semantics not in ("cached", "recomputed"):
        raise ValueError(f"semantics: got {semantics!r}; needs cached or recomputed")
    return semantics == "recomputed"


def _rows_of(model: Model, number: int, call: Asked, trials: int, mode: str, stops: Stops) -> PromptRows:
    """One prompt's rows, ordered (arm, trial); errors say which of the prompts it was, counted from 0."""
    ids, arms = call.tokens[number], call.rows[number]
    arrays = edit_arrays_of([row for row in arms for _ in range(trials)], len(ids), model, call.dictionary, mode)
    check_void(arrays, call.held, call.dictionary, call.taps, len(ids))
    numbers = np.tile(np.arange(trials), len(arms))
    kept = held_of_prompt(model.transformer, ids, call.held, call.dictionary)
    return PromptRows(ids, number, numbers, arrays, stops.ends(model, ids), f"prompt {number}", kept)


def _result(model: Model, generation: Generation, trials: int, tapped: Tapped) -> GenerateResult:
    ids = generation.prompt_tokens
    texts = [model.continuation(ids, row[row >= 0].tolist()) for row in generation.tokens]
    grouped = tuple(tuple(texts[i : i + trials]) for i in range(0, len(texts), trials))
    return GenerateResult(grouped, generation, tapped)
