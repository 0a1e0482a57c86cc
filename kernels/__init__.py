"""Operations that XLA does not do well: a folder each, with several implementations of one contract.

    OPERATION/__init__.py   equation, shapes, cost; OPERATION(..., implementation="xla") picks the implementation
    OPERATION/xla.py        in plain XLA: the reference, and what is used
    OPERATION/pallas.py     one Pallas kernel, for a GPU; on a CPU it is interpreted (tests)
    top_k.py                the k largest of a row, which is XLA alone
    float_order.py          floats as integers of one order
    launch.py               how every Pallas kernel is started
    shapes.py               the real sizes at which operations are compiled and measured

tests/kernels/test_OPERATION.py holds each implementation against a loop. A Pallas implementation becomes the default
when it was measured at least 1.3 times as fast as XLA on a GPU. None has been measured, so all are off.

Kernels are written for the Triton backend. It is deprecated since jax 0.11, yet it is where `pallas_call` goes on a
GPU up to 0.12, and it serves Ampere and Ada cards, where Mosaic (`plgpu.kernel`) needs Hopper.
"""
