"""Generation for many different prompts in one batch: `generate_prompts`.

Rows of prompts of one bucket (`buckets`) are rows of one generation. All of them have more tokens than the bucket
below is wide: so many are run at once, each row its own, and become the row's first segment; the rest of each prompt is
forced, token after token, and from its end on the row draws. So rows stand at one position in every step, and nothing
is padded. Draws are counted from each row's own first one.

Prompts each of which fills a batch with its rows are better run one by one (`batched=False`): the rows share their
prompt's prefix. Both ways draw with the same noise and differ in rounding.

A row's bits are a function of the row, of its prompt's bucket and of `Layout.rows`, never of the other prompts.

Cost: a pass over the tokens before the bucket, then for each row its new tokens and the bucket's own (a third of the
prompt at most); three programs a bucket with two segments.
"""

import dataclasses
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import Int

from causeway.engine.dictionary.placement import InMemory
from causeway.engine.intervention.edits import Edit
from causeway.engine.intervention.held import Held
from causeway.engine.model.buckets import bucket_width, whole_width
from causeway.engine.model.finite import NotFiniteError
from causeway.engine.model.generate import first_edited_position, generate_rows
from causeway.engine.model.refusals import check_generation
from causeway.engine.model.rollouts import Ends, Generation
from causeway.engine.model.segments import Layout
from causeway.engine.model.transformer import Transformer


@dataclasses.dataclass(frozen=True)
class PromptRows:
    """One prompt and the rows that continue it.

    Attributes:
        tokens: of the prompt.
        id: of the prompt, for its noise.
        trials: trial number of each row [r]; equal numbers of one id share their noise.
        edits: arrays [r, E], checked.
        ends: see `generate_rows`.
        name: how errors call the prompt.
        held: what the prompt's tokens keep of its clean pass; such prompts are not batched with others.
    """

    tokens: Sequence[int]
    id: int
    trials: Int[np.ndarray, " r"]
    edits: tuple[Edit, ...] = ()
    ends: Ends | None = None
    name: str = ""
    held: Held | None = None

    @property
    def first_edit(self) -> int:
        """The first position that a row edits."""
        return first_edited_position(self.edits)

    def bucket(self, dictionary: InMemory | None) -> tuple:
        """What prompts of one batch have in common: tokens run at once, padded width, and the kinds of their edits."""
        kinds = (
            tuple(edit.spec for edit in self.edits),
            tuple(np.shape(leaf)[1:] for leaf in jax.tree.leaves(self.edits)),
        )
        alone = tuple(int(np.max(edit.layer)) for edit in self.edits if edit.spec.one_layer(dictionary))
        start = whole_width(min(len(self.tokens) - 1, self.first_edit))
        return start, bucket_width(len(self.tokens)), alone, kinds


@dataclasses.dataclass(frozen=True)
class _Bucket:
    """Prompts of one padded width, of each of which `start` tokens are run at once."""

    prompts: list[PromptRows]
    start: int
    width: int

    @property
    def shifts(self) -> list[int]:
        """Steps before each prompt's last token."""
        return [len(prompt.tokens) - 1 - self.start for prompt in self.prompts]

    @property
    def counts(self) -> list[int]:
        """Rows of each prompt."""
        return [len(prompt.trials) for prompt in self.prompts]

    def layout(self, layout: Layout, most: int) -> Layout:
        """The prompts' own steps join the first segment; all of them stay inside the context."""
        first, *others = layout.segments
        steps = np.minimum(np.cumsum([self.width - 1 - self.start + first, *others]), most - self.start)
        lengths = np.diff(steps, prepend=0)
        return Layout(layout.rows, tuple(int(length) for length in lengths if length))

    def of_rows(self, values: Sequence[Any] | np.ndarray) -> np.ndarray:
        """A value of each prompt as one of each row."""
        return np.repeat(np.asarray(values), self.counts, axis=0)

    def ends(self, new_tokens: int) -> Ends:
        """A row is over after so many tokens of its own, or where its prompt's `ends` says so."""
        offsets = np.cumsum([0, *self.counts])

        def kept(tokens: np.ndarray) -> np.ndarray:
            out = self.of_rows(self.shifts).astype(np.int64) + new_tokens
            for prompt, shift, at in zip(self.prompts, self.shifts, offsets, strict=False):
                rows = slice(at, at + len(prompt.trials))
                if prompt.ends is not None and tokens.shape[1] > shift:
                    asked = np.asarray(prompt.ends(tokens[rows, shift : shift + new_tokens]), np.int64)
                    out[rows] = np.minimum(out[rows], shift + asked)
            return out

        return kept


def generate_prompts(
    transformer: Transformer,
    prompts: Sequence[PromptRows],
    *,
    layout: Layout,
    batched: bool = True,
    recomputed: bool = False,
    dictionary: InMemory | None = None,
    **request: Any,
) -> list[Generation]:
    """Draw the rows of several prompts, in one batch where their buckets are alike.

    Args:
        transformer: the modules.
        prompts: each with its rows.
        layout: row bucket and segments, as for one prompt.
        batched: whether prompts of one bucket run together; otherwise each one's rows share its prefix.
        recomputed, dictionary: see `generate_rows`.
        request: sampling, seed, taps and parallel, as for `generate_rows`.

    Raises:
        ValueError: see `generate_rows`; before anything is compiled.
        NotFiniteError: naming the prompt; its `row` is that row of the prompt.
    """
    most = transformer.config.max_position
    for prompt in prompts:
        check_generation(prompt.tokens, prompt.trials, prompt.edits, None, layout.max_new_tokens, most)
        if recomputed and prompt.first_edit < len(prompt.tokens) - 1:
            raise ValueError(
                f"recomputed: an edit of {prompt.name or 'a prompt'} starts at position {prompt.first_edit}, before "
                f"its last token ({len(prompt.tokens) - 1}), where it would do nothing; use cached"
            )
    request |= {"recomputed": recomputed, "dictionary": dictionary}
    if not batched:
        return [_alone(transformer, prompt, layout, request) for prompt in prompts]
    alike: dict[tuple, list[int]] = defaultdict(list)
    for number, prompt in enumerate(prompts):
        alike[prompt.bucket(dictionary)].append(number)
    out: dict[int, Generation] = {}
    for (start, width, *_), numbers in alike.items():
        bucket = _Bucket([prompts[number] for number in numbers], start, width)
        out |= dict(zip(numbers, _drawn(transformer, bucket, layout, request), strict=True))
    return [out[number] for number in range(len(prompts))]


def _alone(transformer: Transformer, prompt: PromptRows, layout: Layout, request: dict[str, Any]) -> Generation:
    """One prompt's rows, which share its prefix."""
    try:
        return generate_rows(
            transformer, prompt.tokens, trials=prompt.trials, prompt_id=prompt.id, edits=prompt.edits,
            held=prompt.held, ends=prompt.ends, layout=layout, **request,
        )  # fmt: skip
    except NotFiniteError as error:
        raise error.of(prompt.name) from None


def _drawn(transformer: Transformer, bucket: _Bucket, layout: Layout, request: dict[str, Any]) -> list[Generation]:
    own = bucket.layout(layout, transformer.config.max_position)
    forced = np.full((len(bucket.prompts), own.max_new_tokens), -1, np.int32)
    for row, (prompt, shift) in enumerate(zip(bucket.prompts, bucket.shifts, strict=True)):
        forced[row, :shift] = prompt.tokens[bucket.start + 1 :]
    begun = [list(prompt.tokens[: bucket.start + 1]) for prompt in bucket.prompts]
    edits = jax.tree.map(lambda *leaves: np.concatenate(leaves), *[prompt.edits for prompt in bucket.prompts])
    try:
        together = generate_rows(
            transformer, bucket.of_rows(begun).astype(np.int32), layout=own, edits=edits,
            trials=np.concatenate([prompt.trials for prompt in bucket.prompts]), forced=bucket.of_rows(forced),
            prompt_id=bucket.of_rows([prompt.id for prompt in bucket.prompts]),
            first=bucket.of_rows(bucket.shifts).astype(np.int32), ends=bucket.ends(layout.max_new_tokens), **request,
        )  # fmt: skip
    except NotFiniteError as error:
        place = int(bucket.of_rows(np.arange(len(bucket.prompts)))[error.row])
        raise NotFiniteError(
            str(error.of(bucket.prompts[place].name)), error.row - sum(bucket.counts[:place])
        ) from None
    return _apart(bucket, together, layout.max_new_tokens)


def _apart(bucket: _Bucket, together: Generation, new_tokens: int) -> list[Generation]:
    """Each prompt's rows, from its last token on."""
    out, at = [], 0
    arrays = (together.tokens, together.records, together.before, together.after, together.applied)
    for prompt, shift in zip(bucket.prompts, bucket.shifts, strict=True):
        rows, steps = slice(at, at + len(prompt.trials)), slice(shift, shift + new_tokens)
        mine = jax.tree.map(lambda a, rows=rows, steps=steps: a[rows, steps], arrays)
        out.append(Generation(tuple(prompt.tokens), *mine))
        at += len(prompt.trials)
    return out
