"""What a compiled program moves and computes, kernel by kernel.

Every instruction that is not a mere name for memory is a kernel. It reads what it needs of its operands (`demand`),
writes its result, and does the operations of its matrix products, 2 * size of the result * length contracted; others
are not counted. The body of a loop counts as often as it runs; of a conditional the branch that moves most counts.

A kernel that only moves data out of an argument of the program (slices, transposes, joins, converts of a weight) is
traffic that the mathematics does not need: it is named after that argument, whose memory is followed from the
program's parameters into the loops that leave it as it is.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Mapping, Sequence

from causeway.engine.bench.compile.demand import KEEPS, read_and_written
from causeway.engine.bench.compile.hlo import Instruction, Program, Shape

# Names for memory, and ends of what was counted when it began.
FREE = {
    "parameter", "get-tuple-element", "tuple", "bitcast", "constant", "after-all", "partition-id", "replica-id",
    "async-done", "async-update", "copy-done", "all-reduce-done", "all-gather-done", "collective-permute-done",
}  # fmt: skip
MOVES = {
    "parameter", "constant", "bitcast", "copy", "slice", "dynamic-slice", "transpose", "concatenate", "reshape",
    "convert", "pad", "tuple",
}  # fmt: skip
# Smaller copies cost no more than their launch.
LEAST_COPY = 1 << 20
# Names of dtypes by which cards state their rates.
RATES = {"bf16": "bfloat16", "f16": "float16", "f32": "float32", "f64": "float64", "s8": "int8"}
# The argument of the program that memory is, "" for none; of a tuple that of each element.
Path = str | tuple[str, ...]
Paths = Mapping[str, Path]


@dataclasses.dataclass(frozen=True)
class Kernel:
    """One kernel.

    Attributes:
        kind: opcode and name without its number. count: how often it runs. read, written: bytes each time.
        operations: of matrix products, each time, in `dtype` ("" where there are none).
        copies: path of the argument it copies; "" for others.
    """

    kind: str
    count: float
    read: int
    written: int
    operations: int = 0
    dtype: str = ""
    copies: str = ""

    @property
    def bytes(self) -> int:
        """Moved each time."""
        return self.read + self.written


def kernels(program: Program, unknown_trips: float = 1, taken: float = 1.0) -> list[Kernel]:
    """All kernels of a run.

    Args:
        unknown_trips: of loops whose number of trips the compiler does not know.
        taken: the share of conditionals that take the branch that moves most; the others do nothing.
    """
    return list(_Reader(program, unknown_trips, taken).run(program.entry, 1.0))


def largest_loop(program: Program, unknown_trips: int = 1) -> list[Kernel]:
    """The kernels of one trip of the loop whose trip moves most, the program's if it has no loop."""
    reader = _Reader(program, unknown_trips)
    list(reader.run(program.entry, 1.0))
    return max(reader.bodies, key=moved, default=[]) or kernels(program, unknown_trips)


def moved(found: Sequence[Kernel]) -> float:
    """Bytes of some kernels."""
    return sum(kernel.count * kernel.bytes for kernel in found)


@dataclasses.dataclass
class _Reader:
    """Walks the computations; `bodies` keeps the kernels of one trip of each loop met."""

    program: Program
    unknown_trips: float
    taken: float = 1.0
    bodies: list[list[Kernel]] = dataclasses.field(default_factory=list)

    def run(self, name: str, count: float, given: Path = "") -> Iterator[Kernel]:
        """Kernels of a computation that runs so often; `given`: the arguments behind its parameter."""
        instructions = self.program.computations[name]
        by_name = {one.name: one for one in instructions}
        paths = self._paths(name, instructions, given)
        for one in instructions:
            if one.opcode == "while":
                yield from self._loop(one, count, paths)
            elif one.opcode == "conditional":
                yield from self._conditional(one, count, paths)
            elif one.opcode in ("call", "async-start"):
                for called in one.called.values():
                    yield from self.run(called[0], count)
            elif one.opcode not in FREE:
                yield self._kernel(one, count, by_name, paths)

    def _loop(self, loop: Instruction, count: float, paths: Paths) -> Iterator[Kernel]:
        """A loop's body, once for each trip."""
        body, trips = loop.called["body"][0], loop.trips or self.unknown_trips
        before, kept = paths.get(loop.operands[0], ""), _unchanged(self.program.computations[body])
        if not isinstance(before, str):
            before = tuple(path if at in kept else "" for at, path in enumerate(before))
        once = list(self.run(body, 1.0, before))
        self.bodies.append(once)
        yield from (dataclasses.replace(kernel, count=kernel.count * count * trips) for kernel in once)

    def _conditional(self, one: Instruction, count: float, paths: Paths) -> Iterator[Kernel]:
        """The branch that moves most."""
        branches = [branch for names in one.called.values() for branch in names]
        given = [paths.get(operand, "") for operand in one.operands[1:]]
        found = [list(self.run(at, count * self.taken, own)) for at, own in zip(branches, given, strict=True)]
        yield from max(found, key=moved)

    def _paths(self, name: str, instructions: Sequence[Instruction], given: Path) -> dict[str, Path]:
        """The argument whose memory each instruction's result is; of a tuple that of each element, "" for none."""
        paths: dict[str, Path] = {}
        for one in instructions:
            if one.opcode == "parameter" and name == self.program.entry:
                paths[one.name] = one.op_name
            elif one.opcode == "parameter":
                paths[one.name] = given
            elif one.opcode == "tuple":
                parts = (paths.get(operand, "") for operand in one.operands)
                paths[one.name] = tuple(part if isinstance(part, str) else "" for part in parts)
            elif one.opcode == "get-tuple-element" and isinstance(of := paths.get(one.operands[0]), tuple):
                paths[one.name] = of[one.index] if one.index < len(of) else ""
            elif one.opcode == "bitcast" and one.operands:
                paths[one.name] = paths.get(one.operands[0], "")
        return paths

    def _kernel(self, one: Instruction, count: float, by_name: Mapping[str, Instruction], paths: Paths) -> Kernel:
        operands = [by_name[name] for name in one.operands if name in by_name]
        fused = self.program.computations[one.called["calls"][0]] if one.opcode == "fusion" else ()
        if fused:
            read, written = read_and_written(fused)
            taken = [read.get(place, 0) for place in range(len(operands))]
        else:
            kept = [shape for shape in one.shapes if not (one.opcode == "custom-call" and _is_workspace(shape, one))]
            written = sum(shape.bytes for shape in kept)
            taken = [min(a.bytes, written) if one.opcode in KEEPS else a.bytes for a in operands]
        operations, dtype = _products(one, fused, operands)
        kind = f"{one.opcode}:{re.sub(r'[.0-9]+$', '', one.name)}"
        copies = ""
        if one.opcode in MOVES or (fused and all(a.opcode in MOVES or not a.shapes[0].dimensions for a in fused)):
            found = [(amount, paths.get(a.name, "")) for amount, a in zip(taken, operands, strict=True)]
            amount, path = max(((n, p) for n, p in found if isinstance(p, str) and p), default=(0, ""))
            copies = path if amount >= LEAST_COPY else ""
        return Kernel(kind, count, sum(taken), written, operations, dtype, copies)


def _unchanged(instructions: Sequence[Instruction]) -> set[int]:
    """Elements of a loop's state that a trip gives back as it found them."""
    by_name = {one.name: one for one in instructions}
    root = next(one for one in instructions if one.is_root)
    if root.opcode != "tuple":
        return set()
    found = [by_name[name] for name in root.operands]
    return {
        place for place, one in enumerate(found)
        if one.opcode == "get-tuple-element" and one.index == place
        and by_name[one.operands[0]].opcode == "parameter"
    }  # fmt: skip


def _is_workspace(shape: Shape, call: Instruction) -> bool:
    """Whether a result of a library's matrix product is scratch memory: bytes, beside what is wanted."""
    return len(call.shapes) > 1 and shape.dtype in ("s8", "u8") and shape is call.shapes[-1]


def _products(
    one: Instruction, fused: Sequence[Instruction], operands: Sequence[Instruction]
) -> tuple[int, str]:  # fmt: skip
    """Operations of matrix products, and the dtype whose rate they run at."""
    if one.opcode == "custom-call" and "lhs_contracting_dimensions" in one.attributes:
        numbers = re.search(r'"lhs_contracting_dimensions":\[([^\]]*)\]', one.attributes)
        return _product(one, operands[0].shapes[0], numbers.group(1) if numbers else "")
    by_name = {inner.name: inner for inner in fused} | {operand.name: operand for operand in operands}
    total, dtype = 0, ""
    for inner in (one, *fused):
        if inner.opcode == "dot":
            numbers = re.search(r"lhs_contracting_dims=\{([\d,]*)\}", inner.attributes)
            count, dtype = _product(inner, by_name[inner.operands[0]].shapes[0], numbers.group(1) if numbers else "")
            total += count
    return total, dtype


def _product(product: Instruction, left: Shape, contracted: str) -> tuple[int, str]:
    length = math.prod(left.dimensions[int(n)] for n in re.findall(r"\d+", contracted))
    dtype = RATES.get(left.dtype, left.dtype)
    if dtype == "float32" and not re.search(r"HIGHEST|highest", product.attributes):
        dtype = "tensorfloat32"
    return 2 * math.prod(product.shapes[0].dimensions) * length, dtype
