"""Optimised HLO as data: what XLA's compiler prints of a program is read into computations and instructions.

The text is a list of computations, one of them the entry. Each is a list of instructions in the order they run,

    %name = shape opcode(%operand, ...), attribute=value, ..., metadata={...}

with shapes such as `bf16[8,128]{1,0}` or tuples of them. Layouts are left out. Only what traffic and operations are
counted from is kept.
"""

import dataclasses
import functools
import math
import re
from collections.abc import Mapping

ITEM_BYTES = {
    "pred": 1, "s4": 1, "u4": 1, "s8": 1, "u8": 1, "f8e4m3fn": 1, "f8e5m2": 1, "bf16": 2, "f16": 2, "s16": 2, "u16": 2,
    "s32": 4, "u32": 4, "f32": 4, "s64": 8, "u64": 8, "f64": 8, "c64": 8, "c128": 16,
}  # fmt: skip
_SHAPE = re.compile(rf"\b({'|'.join(ITEM_BYTES)})\[([\d,]*)\]")
_HEAD = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .*\{$")
_INSTRUCTION = re.compile(r"^\s+(ROOT )?%?([\w.\-]+) = ((?:\(.*?\)|\S+)) ([\w\-]+)\((.*)$")
_CALLED = re.compile(r"\b(calls|body|condition|to_apply|branch_computations|true_computation|false_computation)=")
_NAME = re.compile(r"%([\w.\-]+)")


@dataclasses.dataclass(frozen=True)
class Shape:
    """An array's: dtype as XLA names it, and dimensions."""

    dtype: str
    dimensions: tuple[int, ...]

    @property
    def bytes(self) -> int:
        """Memory of it."""
        return ITEM_BYTES[self.dtype] * math.prod(self.dimensions)


@dataclasses.dataclass(frozen=True)
class Instruction:
    """One operation.

    Attributes:
        name, opcode: as XLA writes them. shapes: of the result; several where it is a tuple. operands: names.
        attributes: the text after the operands. is_root: whether it is its computation's result.
    """

    name: str
    opcode: str
    shapes: tuple[Shape, ...]
    operands: tuple[str, ...]
    attributes: str
    is_root: bool

    @property
    def bytes(self) -> int:
        """Memory of the result."""
        return sum(shape.bytes for shape in self.shapes)

    @property
    def index(self) -> int:
        """Which parameter, or which element of a tuple: of `parameter` and `get-tuple-element`."""
        if self.opcode == "parameter":
            return int(self.attributes.partition(")")[0])
        found = re.search(r"\bindex=(\d+)", self.attributes)
        return int(found.group(1)) if found else 0

    @property
    def op_name(self) -> str:
        """What it was traced from; of a program's parameter its path in the arguments."""
        found = re.search(r'op_name="([^"]*)"', self.attributes)
        return found.group(1) if found else ""

    @functools.cached_property
    def called(self) -> Mapping[str, tuple[str, ...]]:
        """Names of the computations it runs, by the attribute that names them."""
        found = {}
        for match in _CALLED.finditer(self.attributes):
            rest = self.attributes[match.end() :]
            listed = rest[: rest.index("}")] if rest.startswith("{") else rest.partition(",")[0]
            found[match.group(1)] = tuple(_NAME.findall(listed))
        return found

    @property
    def trips(self) -> int | None:
        """How often the body of a `while` runs, where the compiler knows it."""
        found = re.search(r'"known_trip_count":\{"n":"(\d+)"\}', self.attributes)
        return int(found.group(1)) if found else None


@dataclasses.dataclass(frozen=True)
class Program:
    """Instructions of each computation by name, and the name of the one that is the program."""

    computations: Mapping[str, tuple[Instruction, ...]]
    entry: str


def parse(text: str) -> Program:
    """Read what `compiled.as_text()` gives.

    Raises:
        ValueError: there is no entry in it.
    """
    found: dict[str, list[Instruction]] = {}
    entry, current = "", None
    for line in text.splitlines():
        if head := _HEAD.match(line):
            current = found.setdefault(head.group(2), [])
            entry = head.group(2) if head.group(1) else entry
        elif line.startswith("}"):
            current = None
        elif current is not None and (match := _INSTRUCTION.match(line)):
            current.append(_instruction(*match.groups()))
    if not entry:
        raise ValueError("hlo: got a text without ENTRY; needs optimised HLO as `compiled.as_text()` gives it")
    return Program({name: tuple(instructions) for name, instructions in found.items()}, entry)


def _instruction(root: str | None, name: str, shape: str, opcode: str, rest: str) -> Instruction:
    """Of the parts of its line. Operands end at the parenthesis that closes theirs; a parameter's is its number."""
    depth, end = 1, len(rest)
    for at, letter in enumerate(rest):
        depth += (letter == "(") - (letter == ")")
        if not depth:
            end = at
            break
    operands = () if opcode in ("parameter", "constant") else tuple(_NAME.findall(rest[:end]))
    attributes = rest if opcode in ("parameter", "constant") else rest[end + 1 :]
    shapes = tuple(Shape(dtype, tuple(int(n) for n in dims.split(",") if n)) for dtype, dims in _SHAPE.findall(shape))
    return Instruction(name, opcode, shapes, operands, attributes, root is not None)
