"""A fused kernel reads what its result needs, and writes what changes."""

import pytest

from causeway.engine.bench.compile.demand import read_and_written
from causeway.engine.bench.compile.hlo import parse

FUSED = "%f (a: f32[100,8]) -> f32[8] {{\n{}\n}}\n\nENTRY %main (a: f32[100,8]) -> f32[100,8] {{\n  ROOT %a = f32[100,8]{{1,0}} parameter(0)\n}}\n"  # noqa: E501
A = "  %a = f32[100,8]{1,0} parameter(0)\n"
SUM = "to_apply=%add"
CASES = {
    "an elementwise one reads all": (A + "  ROOT %r = f32[100,8]{1,0} negate(%a)", 3200, 3200),
    "a slice of a sum of two": (
        A + "  %s = f32[100,8]{1,0} add(%a, %a)\n  ROOT %r = f32[10,8]{1,0} slice(%s), slice={[0:10], [0:8]}",
        320,
        320,
    ),
    "two slices of one array": (
        A + "  %x = f32[10,8]{1,0} slice(%a), slice={[0:10], [0:8]}\n  %y = f32[10,8]{1,0} slice(%a), slice={[90:100], "
        "[0:8]}\n  ROOT %r = f32[10,8]{1,0} add(%x, %y)",
        640,
        320,
    ),
    "a reduction": (A + f"  %z = f32[] constant(0)\n  ROOT %r = f32[8]{{0}} reduce(%a, %z), {SUM}", 3200, 32),
    "a slice of a reduction": (
        A + f"  %z = f32[] constant(0)\n  %s = f32[8]{{0}} reduce(%a, %z), {SUM}\n"
        "  ROOT %r = f32[2]{0} slice(%s), slice={[0:2]}",
        800,
        8,
    ),
    "rows by number": (
        A + "  %n = s32[5]{0} constant({0,1,2,3,4})\n  ROOT %r = f32[5,8]{1,0} gather(%a, %n), slice_sizes={1,8}",
        160,
        160,
    ),
    "an update in place": (
        A + "  %u = f32[1,8]{1,0} constant({...})\n  %z = s32[] constant(0)\n"
        "  ROOT %r = f32[100,8]{1,0} dynamic-update-slice(%a, %u, %z, %z)",
        0,
        32,
    ),
    "two results": (
        A + "  %n = f32[100,8]{1,0} negate(%a)\n  %x = f32[10,8]{1,0} slice(%a), slice={[0:10], [0:8]}\n"
        "  ROOT %r = (f32[100,8]{1,0}, f32[10,8]{1,0}) tuple(%n, %x)",
        3200,
        3520,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_bytes(name):
    fused, read, written = CASES[name]
    assert read_and_written(parse(FUSED.format(fused)).computations["f"]) == ({0: read}, written)
