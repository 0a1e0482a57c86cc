"""Operations and memory of a jitted function from shapes alone; nothing runs, no array is made.

Memory is the compiler's own plan (arguments + outputs + temporaries - what is donated). Operations are counted on the
jaxpr, not taken from XLA's `cost_analysis`: that one counts the body of a loop once, so a model that scans over its
layers would cost one layer (a scan of 8 matrix products reports an eighth of its operations, jax 0.10.2).

Counted are matrix products, 2*M*N*K each, times the length of the scans around them; conditionals count their dearest
branch. A `while` loop's trips and how many conditionals take the dear branch are the caller's to say (`Runs`).
Everything elementwise is left out: it is bound by memory, not arithmetic.

Cost: one compilation.
"""

import dataclasses
import math
import time
from collections.abc import Iterator
from typing import Any

import jax

from causeway.engine.memory import in_host_memory


@dataclasses.dataclass(frozen=True)
class ProgramCost:
    """Cost of one call of a compiled program.

    Attributes:
        flops: floating-point operations of its matrix products.
        memory_bytes: bytes of device memory it needs, arguments included.
        resident_bytes: of these, arguments that are in memory already.
        compile_seconds: what its compilation took here, of processor time where devices compute on the host.
    """

    flops: int
    memory_bytes: int
    resident_bytes: int = 0
    compile_seconds: float = 0.0


@dataclasses.dataclass(frozen=True)
class Runs:
    """What a compiler does not know of a call: trips of every `while` loop (a `fori_loop` with a traced bound), and the
    share of conditionals that take their dearest branch, the others doing nothing."""

    trips: int = 1
    taken: float = 1.0


def program_cost(jitted: Any, *args: Any, runs: Runs = Runs(), **kwargs: Any) -> ProgramCost:
    """Cost of one call.

    Args:
        jitted: what `jax.jit` returned.
        *args: arguments, or `jax.ShapeDtypeStruct`s in their place.
        runs: what shapes do not tell.
        **kwargs: named arguments, likewise.
    """
    clock = time.process_time if in_host_memory() else time.perf_counter
    started = clock()
    traced = jitted.trace(*args, **kwargs)
    compiled = traced.lower().compile()
    seconds = clock() - started
    resident = sum(leaf.nbytes for leaf in jax.tree.leaves((args, kwargs)) if isinstance(leaf, jax.Array))
    return ProgramCost(_traced_flops(traced, runs), _memory(compiled), resident, seconds)


def program_flops(jitted: Any, *args: Any, runs: Runs = Runs()) -> int:
    """Operations of one call alone, of a program that need not be compiled again; arguments as `program_cost`."""
    return _traced_flops(jitted.trace(*args), runs)


def _traced_flops(traced: Any, runs: Runs) -> int:
    (jaxpr,) = _inner_jaxprs({"jaxpr": traced.jaxpr})
    return round(_flops(jaxpr, runs))


def _memory(compiled: Any) -> int:
    """Bytes from the compiler's plan; backends that do not tell count as 0."""
    plan = compiled.memory_analysis()
    if plan is None:
        return 0
    used = plan.argument_size_in_bytes + plan.output_size_in_bytes + plan.temp_size_in_bytes
    return max(used - plan.alias_size_in_bytes, getattr(plan, "peak_memory_in_bytes", 0))


def _flops(jaxpr: Any, runs: Runs) -> float:
    return sum(_equation_flops(equation, runs) for equation in jaxpr.eqns)


def _equation_flops(equation: Any, runs: Runs) -> float:
    name, params = equation.primitive.name, equation.params
    if name == "dot_general":
        return _product_flops(equation)
    inner = [_flops(jaxpr, runs) for jaxpr in _inner_jaxprs(params)]
    if name == "cond":
        # A choice of platform is made as it is compiled, and its branch always runs.
        return max(inner) * (1.0 if params.get("branches_platforms") else runs.taken)
    trips = {"scan": params.get("length", 1), "while": runs.trips}.get(name, 1)
    return trips * sum(inner)


def _product_flops(equation: Any) -> int:
    """2 * (elements of the result) * (length of the contracted axes)."""
    (contracted, _), _ = equation.params["dimension_numbers"]
    left = equation.invars[0].aval.shape
    return 2 * math.prod(equation.outvars[0].aval.shape) * math.prod(left[axis] for axis in contracted)


def _inner_jaxprs(params: dict[str, Any]) -> Iterator[Any]:
    """The jaxprs an equation holds (bodies, branches), open or closed."""
    for value in params.values():
        for item in value if isinstance(value, tuple | list) else (value,):
            if hasattr(item, "eqns"):
                yield item
            elif hasattr(item, "jaxpr") and hasattr(item.jaxpr, "eqns"):
                yield item.jaxpr
