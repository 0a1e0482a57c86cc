"""Whether a sweep fits a card that is not here, in which row buckets, and how long it takes there at least.

Its programs are compiled for the card at the buckets asked for. Memory grows with rows along a line, which two widths
give; the widest power of two that fits is taken from it and compiled too. Time is a bound: of every kernel the larger
of its bytes over the card's bandwidth and its operations over its rate, times all calls, on one card. Where nobody
knows how early rollouts end there are two: of those that all end in their first segment, and that all go to their last.

Where XLA's compiler for the card is not installed, memory is the CPU compiler's plan, which is another program's, and
time counts the operations of matrix products alone.

Cost: the sweep's programs are compiled twice, and the largest one once more.
"""

import dataclasses
import datetime

from causeway.engine.analyses.patch_sweep.cost import Lengths, Program, programs
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.bench.compile.cards import Card
from causeway.engine.bench.compile.report import call_seconds, compiled_for
from causeway.engine.sweep.estimate import uncompressed_bytes

# Of a card's memory jax takes so much unless XLA_PYTHON_CLIENT_MEM_FRACTION says otherwise.
USABLE = 0.75


@dataclasses.dataclass(frozen=True)
class Target:
    """What is planned for: a card, and whether XLA's compiler for it is here."""

    card: Card
    compiled: bool


@dataclasses.dataclass(frozen=True)
class Bucket:
    """A width of row buckets.

    Attributes:
        rows: of a bucket. memory: bytes. seconds: of the whole sweep at least. least_seconds: the same where all rows
            end as early as can be, None where it is known how they end.
    """

    rows: int
    memory: float
    seconds: float
    least_seconds: float | None = None

    def text(self, card: Card) -> str:
        """Half a line."""
        fits = "fits" if self.memory <= USABLE * card.memory else "does not fit"
        told = f"{self.rows:,} rows: {self.memory / 1e9:.3g} GB, {fits}; {_duration(self.seconds)} or more"
        if self.least_seconds is None:
            return told
        return f"{told}, no row ending early; {_duration(self.least_seconds)} or more if all end at once"


def _duration(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds < 60 else str(datetime.timedelta(seconds=round(seconds)))


@dataclasses.dataclass(frozen=True)
class CardPlan:
    """A sweep on a card.

    Attributes:
        name: of the sweep. target: it. asked: the buckets that were asked for. widest: of the powers of two up to the
            rows of a prompt the widest that fits; None where not even one row does. disk_bytes: before compression.
    """

    name: str
    target: Target
    asked: Bucket
    widest: Bucket | None
    disk_bytes: int

    def text(self) -> str:
        """One screen for people."""
        card = self.target.card
        usable = f"{USABLE:.0%} of {card.memory / 1e9:.4g} GB, what jax takes by default"
        basis = (
            "programs compiled for the card; bounds, nothing was run" if self.target.compiled else
            "shapes, and the CPU compiler's memory; pip install 'causeway[cuda]' compiles for the card, without a GPU"
        )  # fmt: skip
        lines = {
            "asked": self.asked.text(card),
            "widest": self.widest.text(card) if self.widest else "not even one row fits",
            "usable": usable, "disk": f"{self.disk_bytes / 1e9:.3g} GB", "basis": basis,
        }  # fmt: skip
        told = [f"  {name:<7}{value}" for name, value in lines.items()]
        return "\n".join([f"{self.name}: plan for one {card.name}", *told])


def card_plan(sweep: PatchSweep, target: Target, lengths: Lengths | None = None) -> CardPlan:
    """Plan a sweep for a card; `lengths` as for `cost.programs`."""
    asked, room = _bucket(sweep, target, sweep.settings.rows, lengths), USABLE * target.card.memory
    row = max(_memory(sweep, target, 2 * asked.rows) - asked.memory, 1.0) / asked.rows
    rows = 1 << (len(sweep.rows) - 1).bit_length()  # no prompt has more
    while rows and asked.memory + (rows - asked.rows) * row > room:
        rows //= 2
    widest = None
    while rows and (widest := _bucket(sweep, target, rows, lengths)).memory > room:
        rows, widest = rows // 2, None
    return CardPlan(sweep.plan.name, target, asked, widest, uncompressed_bytes(sweep.plan))


def _bucket(sweep: PatchSweep, target: Target, rows: int, lengths: Lengths | None) -> Bucket:
    """All programs of the sweep at a width."""
    costs = [(*_call(program, sweep, target), program) for program in _at(sweep, target, rows, lengths)]
    memory = max((memory for memory, _, _ in costs), default=0.0)
    most = sum(seconds * program.calls for _, seconds, program in costs)
    later = sum(seconds * program.calls for _, seconds, program in costs if program.later)
    return Bucket(rows, memory, most, most - later if later else None)


def _memory(sweep: PatchSweep, target: Target, rows: int) -> float:
    """Of the last program, which is the largest."""
    return next((_call(program, sweep, target)[0] for program in reversed(_at(sweep, target, rows))), 0.0)


def _at(sweep: PatchSweep, target: Target, rows: int, lengths: Lengths | None = None) -> list[Program]:
    own = sweep if rows == sweep.settings.rows else sweep.rebucketed((0, rows))
    return list(programs(own, target.compiled, lengths))


def _call(program: Program, sweep: PatchSweep, target: Target) -> tuple[float, float]:
    """Bytes of memory, and seconds at least, of one call."""
    if not target.compiled:
        cost = program.cost()
        return cost.memory_bytes, target.card.seconds(0, {sweep.model.numerics.compute: cost.flops})
    made = compiled_for(target.card, program.function, program.arguments)
    return made.memory, call_seconds(target.card, made, program.trips, program.taken)
