"""What a fused kernel reads of each array and writes, in bytes.

A fusion reads an element of an array where an element of its result needs it: a slice needs what it keeps, a reduction
all that it sums, an update in place only what is put in. So elements are asked for from the result back, each
instruction asking its operands for

    slice, dynamic-slice, gather    as many elements as are asked of it
    dynamic-update-slice            all of the update, nothing of what is updated, which stays where it is
    reduce, concatenate, pad        the same share of the operand as is asked of it
    dot, sort                       all
    everything else                 as many as are asked of it, and no more than there are

What several instructions ask of one array is added, up to its size.
"""

import math

from causeway.engine.bench.compile.hlo import ITEM_BYTES, Instruction, Shape

KEEPS = ("slice", "dynamic-slice", "gather")
SHARES = ("reduce", "concatenate", "pad", "reduce-window")
WHOLE = ("dot", "sort", "convolution", "scatter", "custom-call")


def _elements(shapes: tuple[Shape, ...]) -> int:
    return sum(math.prod(shape.dimensions) for shape in shapes)


def _asked(user: Instruction, wanted: float, place: int, size: int) -> float:
    """Elements that an instruction of which `wanted` are asked for asks of an operand of `size`."""
    if user.opcode in WHOLE:
        return size
    if user.opcode == "dynamic-update-slice":
        return 0 if place == 0 else size
    if user.opcode in SHARES:
        return size * wanted / max(_elements(user.shapes), 1)
    # Of a slice, the array comes first and is larger than the result; positions come after it.
    return min(size, wanted)


def read_and_written(fused: tuple[Instruction, ...]) -> tuple[dict[int, int], int]:
    """Bytes read of each parameter, by its number, and bytes written."""
    root = next(instruction for instruction in fused if instruction.is_root)
    sizes = {one.name: _elements(one.shapes) for one in fused}
    wanted = dict.fromkeys(sizes, 0.0) | {root.name: sizes[root.name]}
    # Operands stand before what uses them.
    for one in reversed(fused):
        for name in dict.fromkeys(one.operands):
            place = one.operands.index(name)
            if one.opcode == "tuple":
                wanted[name] = sizes[name]
            elif wanted[one.name]:
                asked = _asked(one, wanted[one.name], place, sizes[name])
                wanted[name] = min(sizes[name], wanted[name] + asked)
    parameters = [one for one in fused if one.opcode == "parameter"]
    read = {one.index: math.ceil(wanted[one.name] * ITEM_BYTES[one.shapes[0].dtype]) for one in parameters}
    by_name = {one.name: one for one in fused}
    results = [by_name[name] for name in root.operands] if root.opcode == "tuple" else [root]
    return read, sum(_written(result, by_name) for result in results)


def _written(result: Instruction, by_name: dict[str, Instruction]) -> int:
    """Bytes of a result, or of what is put into it in place."""
    while result.opcode == "bitcast":
        result = by_name[result.operands[0]]
    if result.opcode == "dynamic-update-slice":
        return by_name[result.operands[1]].bytes
    return 0 if result.opcode == "parameter" else result.bytes
