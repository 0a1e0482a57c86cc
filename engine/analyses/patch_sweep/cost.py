"""What a patching sweep costs, from shapes and the compiler's analysis: none of its units is run (exact outcomes take
the clean pass of the longest prompt, whose arrays are their program's arguments).

The longest prompt's bucket stands for all prompts. Rollouts that stop tokens or texts may end count as running to their
last token, which is said of the time (`Call.later`), unless rows that are finished tell how many reach each segment
(`known_lengths`). Time is that of compiling, of the host and of operations at a share of the rate of products that is
measured here (`overhead`).
"""

import dataclasses
import math
from collections.abc import Hashable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Int

from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.intervention.edits import EMPTY
from causeway.engine.model.buckets import bucket_width, node_width
from causeway.engine.model.cache import Segment, prefill
from causeway.engine.model.decode import Own, Shared, decode_segment
from causeway.engine.model.decode import Rows as DecodeRows
from causeway.engine.model.unrolled import on_cpu, unrolled
from causeway.engine.outcome.exact import Background, edited_answers, start_layer
from causeway.engine.sweep.cost import ProgramCost, Runs, program_cost, program_flops
from causeway.engine.sweep.estimate import Call, Overhead, Pilot
from causeway.engine.sweep.plan import PLAN_FILE, Plan, read_plan
from causeway.engine.sweep.store import Store
from causeway.engine.tokenized_prompt import TokenizedPrompt

Lengths: TypeAlias = Int[np.ndarray, " R"]
# Of exact outcomes a run compiles the clean pass and the prefix's as well, of rollouts the prefix's.
EXACT_COMPILES, SAMPLED_COMPILES = 2.0, 1.4
# Seconds of one core for each row's share of tables and transfers, and of drawing, reading and parsing texts.
EXACT_ROW_SECONDS, SAMPLED_ROW_SECONDS = 6e-5, 3e-4
# Of the rate of products (`causeway bench patch_sweep`).
EXACT_SHARE, SAMPLED_SHARE = 0.83, 0.65


@dataclasses.dataclass(frozen=True)
class Program:
    """A compiled function of a sweep.

    Attributes:
        function, arguments: what it is, and what it is given. calls: how often it is called (per device). trips: of its
            loops. taken: the share of its conditionals that take the dearer branch. later: whether rows may have ended
            before it.
    """

    function: Any
    arguments: tuple[Any, ...]
    calls: int
    trips: int = 1
    taken: float = 1.0
    later: bool = False

    def cost(self, like: ProgramCost | None = None) -> ProgramCost:
        """Of one call; compiles it, or counts its operations alone where it is the program of another one's cost."""
        runs = Runs(self.trips, self.taken)
        if like is None:
            return program_cost(self.function, *self.arguments, runs=runs)
        flops = program_flops(self.function, *self.arguments, runs=runs)
        return dataclasses.replace(like, flops=flops, compile_seconds=0.0)


def program_calls(sweep: PatchSweep, lengths: Lengths | None = None) -> Iterator[Call]:
    """Each program's cost and how often the whole plan calls it (per device); `lengths` as for `programs`."""
    one, found = sweep.settings.outcome == "exact", None
    for program in programs(sweep, lengths=lengths):
        # Exact outcomes of all layers are one program.
        found = program.cost(found if one else None)
        yield Call(found, program.calls, program.later)


def known_lengths(workdir: Path, plan: Plan) -> Lengths | None:
    """New tokens of each rollout that is finished in the workdir of a plan; None where there is none.

    Raises:
        DamagedStore: a file of it is damaged.
    """
    if not (workdir / PLAN_FILE).exists() or read_plan(workdir)["fingerprint"] != plan.fingerprint:
        return None
    rows = [table["tokens"].combine_chunks().value_lengths() for table in Store(workdir, plan).tables()]
    return np.concatenate([row.to_numpy() for row in rows]) if rows else None


def overhead(sweep: PatchSweep) -> Overhead:
    """What there is beside products, as measured on the bundled model (BUILD_NOTES.md has the ratios)."""
    kinds = len({_shapes(sweep, prompt) for prompt in sweep.prompts})
    if sweep.settings.outcome == "exact":
        return Overhead(EXACT_COMPILES * kinds, EXACT_ROW_SECONDS, EXACT_SHARE)
    return Overhead(SAMPLED_COMPILES * kinds, SAMPLED_ROW_SECONDS, SAMPLED_SHARE)


def pilots(sweep: PatchSweep) -> list[Pilot]:
    """Units that stand for all: of prompts that share their programs the first two; of the largest such group the
    first, middle and last of their units, as rows are in the order of layers; of the others the middle one."""
    groups: dict[Hashable, list[int]] = {}
    for number, prompt in enumerate(sweep.prompts):
        groups.setdefault(_shapes(sweep, prompt), []).append(number)
    units, largest, found = sweep.prompt_units, max(map(len, groups.values())), []
    for group in groups.values():
        middle = (units - 1) // 2  # never a short last one
        places = sorted({0, middle, units - 1}) if len(group) == largest else [middle]
        like, other = group[0], group[min(1, len(group) - 1)]
        rows = dict.fromkeys(places, 0)
        for unit in range(units):
            distances = [abs(place - unit) for place in places]
            rows[places[distances.index(min(distances))]] += sweep.plan.unit_rows[unit]
        found += [Pilot(like * units + at, other * units + at, count * len(group)) for at, count in rows.items()]
    return found


def _shapes(sweep: PatchSweep, prompt: TokenizedPrompt) -> Hashable:
    """What of a prompt decides the programs that run it."""
    shared = min(sweep.first_edit(prompt), len(prompt.tokens) - 1)
    width = bucket_width(max(shared, 1))
    if sweep.settings.outcome != "exact":
        return width
    tree = sweep.answer_tree(prompt).after(prompt.tokens[shared:-1])
    return width, node_width(len(tree.tokens)), (len(tree.edges) - 1).bit_length()


def largest_program(sweep: PatchSweep) -> ProgramCost | None:
    """The program that needs most memory: of rollouts the last segment, of exact outcomes any layer's; None where
    nothing is edited."""
    made = list(programs(sweep))
    return made[-1].cost() if made else None


def programs(sweep: PatchSweep, for_card: bool = False, lengths: Lengths | None = None) -> Iterator[Program]:
    """What a sweep compiles, in the bucket of its longest prompt, for the devices here or for a card.

    Args:
        lengths: new tokens of rollouts like its own; None where nobody knows.
    """
    prompt = max(sweep.prompts, key=lambda p: len(p.tokens))
    width = sweep.settings.bucket(sweep.prompts.index(prompt))
    if sweep.settings.outcome == "exact":
        return _exact_programs(sweep, prompt, width, for_card)
    return _sampled_programs(sweep, prompt, width, for_card, lengths)


def _edits(sweep: PatchSweep, prompt: TokenizedPrompt, width: int, layer: int | None = None):
    """One bucket's edits."""
    rows = sweep.rows if layer is None else sweep.rows.take(sweep.rows.layer == layer)
    return sweep.edits(prompt, rows.take(np.resize(np.arange(len(rows)), width)))


def _on_host(sweep: PatchSweep, for_card: bool) -> bool:
    """Whether the programs are those of a CPU, where single blocks are views of the stack."""
    return not for_card and on_cpu(jax.tree.leaves(sweep.model.transformer)[0])


def _exact_programs(sweep: PatchSweep, prompt: TokenizedPrompt, width: int, for_card: bool) -> Iterator[Program]:
    clean, layers = sweep.clean(prompt), sweep.model.config.num_layers
    looped, transformer = _on_host(sweep, for_card), sweep.model.transformer
    background = Background(transformer if looped else jax.eval_shape(unrolled, transformer), sweep.stack, clean)
    program = jax.jit(edited_answers)
    for layer in np.unique(sweep.rows.layer[sweep.rows.layer != EMPTY]):
        edits = _edits(sweep, prompt, width, int(layer))
        start = start_layer(edits, clean)
        trips = layers - start
        buckets = math.ceil(int((sweep.rows.layer == layer).sum()) / width)
        given = (background, (edits, jnp.int32(start)))
        # Written out, each layer is a conditional (`upper`).
        yield Program(program, given, buckets * len(sweep.prompts), trips, 1.0 if looped else trips / layers)


def _sampled_programs(
    sweep: PatchSweep, prompt: TokenizedPrompt, width: int, for_card: bool, lengths: Lengths | None
) -> Iterator[Program]:  # fmt: skip
    s, transformer = sweep.settings, sweep.model.transformer
    shared_length = min(sweep.first_edit(prompt), len(prompt.tokens) - 1)
    scalar = _shape(())
    prompt_ids = _shape((bucket_width(max(shared_length, 1)),))
    layers = unrolled(transformer) if _on_host(sweep, for_card) else jax.eval_shape(unrolled, transformer)
    prefix = jax.eval_shape(lambda *given: prefill(*given).unrolled(), transformer, prompt_ids, scalar)
    taps = s.recording.taps(sweep.stack, sweep.model.config.num_layers)
    shared = Shared(layers, sweep.stack, prefix, taps, scalar, scalar)
    ids = _shape((width,))
    rows = DecodeRows(ids, _shape((width,), jnp.bool_), _shape((width, 2), jnp.uint32), ids)
    may_end = bool(s.sampling.stop_tokens or s.stop_texts) and lengths is None
    past: tuple[Segment, ...] = ()
    start = 0
    for length in s.segments:
        own = Own(rows, _edits(sweep, prompt, width), past, _shape((length, width)))
        segment = partial(
            decode_segment, length=length, sampling=s.sampling,
            recomputed=s.semantics == "recomputed",
        )  # fmt: skip
        program = jax.jit(segment)
        past = (*past, jax.eval_shape(program, shared, own)[1])
        # Rows that end make room, so those that go on fill their buckets.
        alive = 1.0 if lengths is None or not start else float(np.mean(lengths > start))
        calls = math.ceil(alive * len(sweep.rows) / width) * len(sweep.prompts)
        yield Program(program, (shared, own), calls, later=may_end and start > 0)
        start += length


def _shape(shape: tuple[int, ...], dtype: Any = jnp.int32) -> Any:
    """Stands where an array would."""
    return jax.ShapeDtypeStruct(shape, dtype)
