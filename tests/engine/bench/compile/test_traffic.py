"""Kernels of optimised HLO are counted with what they read, write and compute, loops as often as they run."""

import jax
import jax.numpy as jnp
import pytest

from causeway.engine.bench.compile.hlo import parse
from causeway.engine.bench.compile.traffic import kernels, largest_loop, moved

# A loop of 3 trips: it cuts one of 4 layers out of a stack of weights (2 MiB each), multiplies by it, and puts the
# result into one row of a buffer; the buffer changes from trip to trip, the weights do not.
LOOP = """HloModule jit_f, is_scheduled=true

%cut (w: bf16[4,1024,1024], at: s32[]) -> bf16[1024,1024] {
  %w = bf16[4,1024,1024]{2,1,0} parameter(0)
  %at = s32[] parameter(1)
  %zero = s32[] constant(0)
  %slice = bf16[1,1024,1024]{2,1,0} dynamic-slice(%w, %at, %zero, %zero), dynamic_slice_sizes={1,1024,1024}
  ROOT %flat = bf16[1024,1024]{1,0} bitcast(%slice)
}

%put (buffer: f32[3,8,1024], new: f32[8,1024], at.1: s32[]) -> f32[3,8,1024] {
  %buffer = f32[3,8,1024]{2,1,0} parameter(0)
  %new = f32[8,1024]{1,0} parameter(1)
  %at.1 = s32[] parameter(2)
  %zero.1 = s32[] constant(0)
  %one = f32[1,8,1024]{2,1,0} bitcast(%new)
  ROOT %put.1 = f32[3,8,1024]{2,1,0} dynamic-update-slice(%buffer, %one, %at.1, %zero.1, %zero.1)
}

%body (state: (s32[], bf16[4,1024,1024], f32[3,8,1024], bf16[8,1024])) -> (s32[], bf16[4,1024,1024], f32[3,8,1024], /*index=3*/bf16[8,1024]) {
  %state = (s32[], bf16[4,1024,1024]{2,1,0}, f32[3,8,1024]{2,1,0}, /*index=3*/bf16[8,1024]{1,0}) parameter(0)
  %i = s32[] get-tuple-element(%state), index=0
  %weights = bf16[4,1024,1024]{2,1,0} get-tuple-element(%state), index=1
  %kept = f32[3,8,1024]{2,1,0} get-tuple-element(%state), index=2
  %x = bf16[8,1024]{1,0} get-tuple-element(%state), index=3
  %wrapped_slice = bf16[1024,1024]{1,0} fusion(%weights, %i), kind=kLoop, calls=%cut
  %cublas.1 = (f32[8,1024]{1,0}, s8[33554432]{0}) custom-call(%x, %wrapped_slice), custom_call_target="__cublas$lt$matmul", backend_config={"gemm_backend_config":{"dot_dimension_numbers":{"lhs_contracting_dimensions":["1"],"rhs_contracting_dimensions":["0"]}}}
  %product = f32[8,1024]{1,0} get-tuple-element(%cublas.1), index=0
  %update = f32[3,8,1024]{2,1,0} fusion(%kept, %product, %i), kind=kLoop, calls=%put
  ROOT %out = (s32[], bf16[4,1024,1024]{2,1,0}, f32[3,8,1024]{2,1,0}, /*index=3*/bf16[8,1024]{1,0}) tuple(%i, %weights, %update, %x)
}

%more (state.1: (s32[], bf16[4,1024,1024], f32[3,8,1024], bf16[8,1024])) -> pred[] {
  %state.1 = (s32[], bf16[4,1024,1024]{2,1,0}, f32[3,8,1024]{2,1,0}, bf16[8,1024]{1,0}) parameter(0)
  ROOT %yes = pred[] constant(true)
}

ENTRY %main (p0: bf16[4,1024,1024], p1: bf16[8,1024]) -> f32[3,8,1024] {
  %p0 = bf16[4,1024,1024]{2,1,0} parameter(0), metadata={op_name="model.up"}
  %p1 = bf16[8,1024]{1,0} parameter(1), metadata={op_name="x"}
  %n = s32[] constant(0)
  %empty = f32[3,8,1024]{2,1,0} broadcast(%n), dimensions={}
  %begin = (s32[], bf16[4,1024,1024]{2,1,0}, f32[3,8,1024]{2,1,0}, bf16[8,1024]{1,0}) tuple(%n, %p0, %empty, %p1)
  %loop = (s32[], bf16[4,1024,1024]{2,1,0}, f32[3,8,1024]{2,1,0}, bf16[8,1024]{1,0}) while(%begin), condition=%more, body=%body, backend_config={"known_trip_count":{"n":"3"}}
  ROOT %result = f32[3,8,1024]{2,1,0} get-tuple-element(%loop), index=2
}
"""  # noqa: E501
MIB = 1 << 20


def test_a_loop_copies_multiplies_and_updates_in_place():
    cut, product, put = largest_loop(parse(LOOP))
    assert (cut.read, cut.written, cut.copies) == (2 * MIB + 4, 2 * MIB, "model.up")
    assert (product.operations, product.dtype) == (2 * 8 * 1024 * 1024, "bfloat16")
    assert product.bytes == 2 * MIB + 2 * 8 * 1024 + 4 * 8 * 1024  # no workspace
    assert (put.read, put.written, put.copies) == (4 * 8 * 1024 + 4, 4 * 8 * 1024, "")


def test_the_whole_program_counts_trips():
    program = parse(LOOP)
    trip, whole = largest_loop(program), kernels(program)
    first = 4 * 3 * 8 * 1024 + 4
    assert moved(whole) == 3 * moved(trip) + first
    assert sum(kernel.count for kernel in whole) == 3 * 3 + 1
    unknown = parse(LOOP.replace('"known_trip_count":{"n":"3"}', ""))
    assert moved(kernels(unknown, 7)) == 7 * moved(trip) + first


def test_weights_that_a_trip_changes_are_no_argument():
    changed = LOOP.replace("tuple(%i, %weights, %update, %x)", "tuple(%i, %other, %update, %x)").replace(
        "  ROOT %out", "  %other = bf16[4,1024,1024]{2,1,0} copy(%weights)\n  ROOT %out"
    )
    assert not any(kernel.copies for kernel in largest_loop(parse(changed)))


@pytest.mark.parametrize("length", [1, 5])
def test_a_compiled_scan_has_the_operations_of_its_products(length):
    """The text of the compiler that is here, not of one version."""

    def scanned(x, weights):
        return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, weights)[0]

    compiled = jax.jit(scanned).lower(jnp.zeros((4, 64)), jnp.zeros((length, 64, 64))).compile()
    found = kernels(parse(compiled.as_text()))
    assert sum(kernel.count * kernel.operations for kernel in found) == length * 2 * 4 * 64 * 64
    assert moved(found) >= 4 * length * 64 * 64


def test_another_text_is_refused():
    with pytest.raises(ValueError, match="ENTRY"):
        parse("HloModule nothing")
