"""Texts with sums in them: "{a} + {b} =" and its answer " {a+b}", written with the values of a and b.

A hole is a name, which is written as its value stands, or whole numbers and names joined by + - * and brackets.
"""

import ast
import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

HOLE = re.compile(r"\{([^{}]*)\}")
_OPERATIONS: Mapping[type, Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul,
}  # fmt: skip
_NEEDS = "needs names of slots and whole numbers, joined by + - *"


def written(formula: str, values: Mapping[str, Any]) -> str:
    """A formula with values in its holes.

    Raises:
        ValueError: a hole that is no sum, a name without a value, or a sum with what is no whole number.
    """

    def put(hole: re.Match[str]) -> str:
        inside = hole[1].strip()
        if inside in values:
            return str(values[inside])
        try:
            return str(_value(ast.parse(inside, mode="eval").body, values))
        except (SyntaxError, RecursionError):
            raise ValueError(f"got {hole[0]}; {_NEEDS}") from None

    return HOLE.sub(put, formula)


def _value(node: ast.expr, values: Mapping[str, Any]) -> int:
    match node:
        case ast.Constant(value=number) if type(number) is int:
            return number
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
        case ast.Name(id=name) if name in values:
            if not re.fullmatch(r"-?\d+", text := str(values[name])):
                raise ValueError(f"{name} is {text!r}, which cannot be counted with; {_NEEDS}")
            return int(text)
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATIONS:
            return _OPERATIONS[type(op)](_value(left, values), _value(right, values))
    raise ValueError(f"got {ast.unparse(node)!r}, where there are {', '.join(values) or 'no names'}; {_NEEDS}")
