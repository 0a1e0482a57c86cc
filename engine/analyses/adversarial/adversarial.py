"""Prompts that make a model err: words found on some prompts, put into others, and the answers to these.

Words come from neurons' decompositions, weighted by their scores on a direction (`words`), or are given. What each does
to the direction is measured on the prompts that choose (`search`); what the kept ones do to the answers, on the others
(`judge`).

Shapes: W words of an arm, P held-out prompts. Cost: besides the search, two passes for each arm, word and prompt.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Float

from causeway.engine.analyses.adversarial.bases import Base
from causeway.engine.analyses.adversarial.fillings import Filling, Make, Side, identity, pools
from causeway.engine.analyses.adversarial.judge import Judged, judged
from causeway.engine.analyses.adversarial.measure import Gauge, spread
from causeway.engine.analyses.adversarial.search import ADVERSARIAL, CLEAN, Search, over_groups, searched
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.stats.multiple import Method, adjust
from causeway.engine.stats.paired import paired_mean
from causeway.engine.tokenized_prompt import TokenizedPrompt

HELD_OUT = "held_out"


@dataclasses.dataclass(frozen=True)
class Wanted:
    """What is searched for.

    Attributes:
        weights: of words (`words`). slots: that are filled. lexicon: texts that random words are drawn from.
        num_words: tried each way. keep: words of an arm. seed: key of the draws. correction: of q.
    """

    weights: Mapping[str, float]
    slots: Sequence[str]
    lexicon: Sequence[str]
    num_words: int = 20
    keep: int = 5
    seed: int = 0
    correction: Method = "bh"


@dataclasses.dataclass(frozen=True)
class Arm:
    """An arm's held-out prompts.

    Attributes:
        fillings: its words; none of the prompts as they stand.
        prompts: of each word, of each held-out prompt; None where it is not filled.
        margins, projections: [W, P], NaN there.
    """

    fillings: Sequence[Filling]
    prompts: Sequence[Sequence[TokenizedPrompt | None]]
    margins: Float[np.ndarray, "W P"]
    projections: Float[np.ndarray, "W P"]


@dataclasses.dataclass(frozen=True)
class Adversarial:
    """Words, the prompts made with them, and what the model answers to these.

    Attributes:
        wanted: what was asked. direction: name of what is pushed. search: what was found on the choosing prompts.
        held: the held-out prompts. arms: by name. judged: what follows.
    """

    wanted: Wanted
    direction: str
    search: Search
    held: Side
    arms: Mapping[str, Arm]
    judged: Judged

    @property
    def prompts(self) -> list[PromptRecord]:
        """Held-out prompts of all arms, each a record with its answers.

        Behaviour is the arm, split `held_out`. Fields: base (id), slot and word; projection_change and margin_change
        from the prompt as it stands; margin (nats), correct and label_source as `represent` has them.
        """
        return [record for name in self.arms for record in self._records(name)]

    @property
    def words(self) -> pa.Table:
        """A row for each word that was tried, the furthest pushing first.

        Columns: slot, word, weight (null where it has none), pool, arm (null where it was not kept), push (mean
        projection change on choosing prompts); of kept ones margin_change on held-out prompts (nats) with low, high, p
        and q, and prompts.
        """
        tried = self.search.pools
        pool = {f: name for name in ("random", "right", "wrong") for f in getattr(tried, name)}
        arm = {filling: name for name, fillings in self.search.arms.items() for filling in fillings}
        rows: list[dict[str, Any]] = [
            {"slot": f.slot, "word": f.word, "weight": _known(self.wanted.weights.get(f.word)), "pool": pool[f],
             "arm": arm.get(f), "push": push}
            for f, push in sorted(self.search.push.items(), key=lambda item: item[1])
        ]  # fmt: skip
        effects = self._effects()
        return pa.Table.from_pylist(
            [row | effects.get(Filling(row["slot"], row["word"]), {}) for row in rows], schema=_SCHEMA
        )

    @property
    def summary(self) -> dict[str, Any]:
        """Words, rates and what follows, as JSON values."""
        area = self.search.area
        return {
            "direction": self.direction,
            "words": {name: [str(filling) for filling in own] for name, own in self.search.arms.items()},
            "tried": {name: len(getattr(self.search.pools, name)) for name in ("wrong", "right", "random")},
            "held_out": len(self.held.bases), "arms": self.judged.arms, "contrasts": self.judged.contrasts,
            "expected_words_push_further": dataclasses.asdict(area), "confirmed": self.judged.confirmed,
            "verdict": self.judged.verdict,
        }  # fmt: skip

    def lines(self, examples: int = 3) -> list[str]:
        """A report of one screen."""
        area, push = self.search.area, self.search.push
        words = ", ".join(f"{f} ({push[f]:+.3g})" for f in self.search.arms[ADVERSARIAL])
        out = [f"words, with their push on {self.direction} where they were chosen: {words}"]
        if min(push[f] for f in self.search.arms[ADVERSARIAL]) >= 0:
            out.append("no word pushes the wrong way there")
        if not np.isnan(area.auc):
            interval = "" if np.isnan(area.low) else f" [{area.low:.2f}, {area.high:.2f}]"
            out.append(
                f"words tried push further than random ones in {area.auc:.2f}{interval} of pairs, p {area.p:.2g}"
            )
        return [*out, *self.judged.verdict, *self._examples(examples)]

    def _examples(self, count: int) -> list[str]:
        """Prompts whose margin falls most, those that turn wrong first."""
        found = self._records(ADVERSARIAL)
        before = {record.id: record.fields["margin"] for record in self._records(CLEAN)}
        turned = sorted(found, key=lambda r: (r.fields["correct"] or before[r.fields["base"]] <= 0,
                                              r.fields["margin_change"]))  # fmt: skip
        return [
            f"  {r.text!r}: {r.correct!r} over {r.incorrect!r} by {before[r.fields['base']]:+.2f} nats as it stands, "
            f"{r.fields['margin']:+.2f} so"
            for r in turned[:count]
        ]

    def _records(self, name: str) -> list[PromptRecord]:
        arm, clean = self.arms[name], self.arms[CLEAN]
        margin, projection = arm.margins - clean.margins, arm.projections - clean.projections
        return [
            _record(prompt.record, name, float(arm.margins[w, p]),
                    {"base": prompt.record.id} if name == CLEAN else
                    {"projection_change": float(projection[w, p]), "margin_change": float(margin[w, p])})
            for w, row in enumerate(arm.prompts) for p, prompt in enumerate(row) if prompt is not None
        ]  # fmt: skip

    def _effects(self) -> dict[Filling, dict[str, Any]]:
        """Margin changes of kept words, q over all of them."""
        kept = [(f, row) for name, arm in self.arms.items() if name != CLEAN
                for f, row in zip(arm.fillings, arm.margins, strict=True)]  # fmt: skip
        changes = np.stack([row for _, row in kept]) - self.arms[CLEAN].margins[0]
        found = paired_mean(over_groups(changes, self.held.clusters))
        q = adjust(found.p, self.wanted.correction).q
        columns = {"margin_change": found.effect, "low": found.low, "high": found.high, "p": found.p, "q": q}
        return {
            filling: {name: _known(float(column[i])) for name, column in columns.items()}
            | {"prompts": int((~np.isnan(changes[i])).sum())}
            for i, (filling, _) in enumerate(kept)
        }


_NUMBERS = ("margin_change", "low", "high", "p", "q")
_SCHEMA = pa.schema([
    ("slot", pa.string()), ("word", pa.string()), ("weight", pa.float64()), ("pool", pa.string()), ("arm", pa.string()),
    ("push", pa.float64()), *((name, pa.float64()) for name in _NUMBERS), ("prompts", pa.int32()),
])  # fmt: skip


def adversarial_prompts(
    gauge: Gauge, choosing: Sequence[Base], held: Sequence[Base], wanted: Wanted, make: Make
) -> Adversarial:
    """Search words on some prompts and judge them on others.

    Args:
        choosing, held: the prompts. make: gives the tokens of a record with two answers.

    Raises:
        ValueError: a prompt that cannot be scored or comes twice, words that fit nowhere, or none answered rightly.
        NotFiniteError: a pass is not all numbers.
    """
    side, apart = _sides(choosing, held, make)
    tried = pools(wanted.weights, side, wanted.slots, wanted.num_words, wanted.lexicon, wanted.seed)
    found = searched(gauge, side, tried, wanted.keep, wanted.seed)
    measured = {identity(p) for filling in tried.all for p in side.filled(filling) if p is not None}
    other = Side(held, apart, make, frozenset(measured | {identity(prompt) for prompt in side.clean}))
    arms = _measured(gauge, other, found)
    margins = {name: arm.margins for name, arm in arms.items()}
    return Adversarial(wanted, gauge.name, found, other, arms, judged(margins, other.clusters, wanted.correction))


def _sides(choosing: Sequence[Base], held: Sequence[Base], make: Make) -> tuple[Side, list[TokenizedPrompt]]:
    """The choosing prompts and the held-out ones as they stand, none of them twice."""
    clean = [make(base.record) for base in (*choosing, *held)]
    first: dict[tuple, str] = {}
    for prompt in clean:
        name, key = prompt.record.id or repr(prompt.record.text[:40]), identity(prompt)
        if key in first:
            raise ValueError(f"prompts: {name} has the prompt and answers of {first[key]}; each counts once")
        first[key] = name
    return Side(choosing, clean[: len(choosing)], make), clean[len(choosing) :]


def _measured(gauge: Gauge, held: Side, found: Search) -> dict[str, Arm]:
    """All arms on the held-out prompts, in one reading.

    Raises:
        ValueError: none of them is answered rightly as it stands.
    """
    rows = {name: held.without_repeats(fillings) for name, fillings in found.arms.items()}
    rows = {CLEAN: [list(held.clean)], **rows}
    listed = [row for own in rows.values() for row in own]
    flat = [prompt for row in listed for prompt in row if prompt is not None]
    there = [[prompt is not None for prompt in row] for row in listed]
    margins = spread(gauge.margins(flat, "held-out"), there)
    if not (margins[0] > 0).any():
        raise ValueError(
            f"prompts: none of the {len(held.bases)} held out is answered rightly as it stands, so nothing can be made "
            "wrong; give prompts that the model can answer"
        )
    projections = spread(gauge.projections(flat, "held-out"), there) if gauge.directions is not None else margins
    arms, at = {}, 0
    for name, own in rows.items():
        part = slice(at, at := at + len(own))
        arms[name] = Arm(found.arms.get(name, ()), own, margins[part], projections[part])
    return arms


def _record(record: PromptRecord, arm: str, margin: float, changes: Mapping[str, Any]) -> PromptRecord:
    fields = {**record.fields, "margin": margin, "correct": margin > 0, "label_source": "margin", "arm": arm, **changes}
    return dataclasses.replace(record, behaviour=arm, split=HELD_OUT, fields=fields)


def _known(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else value
