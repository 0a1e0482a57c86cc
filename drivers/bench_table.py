"""The benchmarks of `causeway bench`, one entry each: what it measures, the flags it reads, and what runs it.

A further one is one more entry of BENCHMARKS. jax is imported when one runs and not before: the driver sets what jax
reads on import.
"""

import dataclasses
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

from absl import flags

from causeway.drivers import bench_compile, bench_measures
from causeway.drivers.bench_all import run_all
from causeway.drivers.bench_measures import Figures
from causeway.drivers.bench_peers import run_peers

FLAGS = flags.FLAGS


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """One entry.

    Attributes:
        measures: what, and how long it takes.
        reads: names of the flags it reads, between spaces, beside --threads and --json.
        run: gives its figures by name, in the units their names say.
        all_threads: whether it has threads of its own, so that one is used only where --threads says so.
        device: what its figures are of, where that is not the device that jax finds.
        all_flags: further flags that it has in `all`, between spaces; None: it is no part of `all`.
    """

    measures: str
    reads: str
    run: Callable[[], Figures]
    all_threads: bool = False
    device: Callable[[], str] | None = None
    all_flags: str | None = None


BENCHMARKS: Mapping[str, Benchmark] = MappingProxyType({
    "all": Benchmark(
        "most of those below that measure, each in a process of its own, as one result (a quarter of an hour)",
        "programs repeats", lambda: run_all(BENCHMARKS), True, lambda: bench_measures.this_device(FLAGS.threads),
    ),
    "rates": Benchmark(
        "matrix products and copies, which others are held against (seconds)", "", bench_measures.rates, all_flags="",
    ),
    "patch_sweep": Benchmark(
        "rollouts and exact answers a second, with and without recordings (a minute or two)",
        "repeats batch_rows bench_layers compute devices", bench_measures.patch_sweep, all_flags="",
    ),
    "load": Benchmark(
        "files of Llama-3.1-8B's width to arrays, against a plain read of them (writes 2.5 GB to /tmp);\n"
        "with --model that model, a GGUF file also against the gguf library's dequantising",
        "repeats load_layers model", bench_measures.load, all_threads=True, all_flags="",
    ),
    "attribute": Benchmark(
        "one attribution graph, from tokens to edges (half a minute)", "repeats tokens nodes all_rows",
        bench_measures.attribute, all_flags="--noall_rows",
    ),
    "intervene": Benchmark(
        "1,000 interventions on one prompt, against as many passes (half a minute)", "repeats tokens",
        partial(bench_measures.of_tokens, "intervene", "GraphShape", "measure_interventions", 32), all_flags="",
    ),
    "run": Benchmark(
        "64 different prompts in one call, against one padded batch, and torch where it is (a minute)", "repeats",
        bench_measures.run, all_flags="",
    ),
    "heads": Benchmark(
        "every head of --model ablated alone on 100 prompts, at the last token (some seconds; of SmolLM2-135M\n"
        "three minutes)",
        "repeats tokens model num_prompts all_tokens", bench_measures.heads, all_flags="",
    ),
    "second_order": Benchmark(
        "effects of all neurons through one later head, against the public code's method (a minute)", "repeats tokens",
        partial(bench_measures.of_tokens, "second_order", "SecondOrderShape", "measure_second_order", 64), all_flags="",
    ),
    "pathways": Benchmark(
        "gradients of features by all features below them, against an autograd call each (some minutes)",
        "repeats tokens", partial(bench_measures.of_tokens, "pathways", "PathwaysShape", "measure_pathways", 64),
        all_flags="--repeats=1",
    ),
    "kernels": Benchmark(
        "each operation of `kernels/` at real sizes, in each of its implementations (seconds)", "repeats",
        bench_measures.kernels, all_flags="",
    ),
    "peers": Benchmark(
        "patched and recorded rollouts against transformers with forward hooks, one by one and batched; and a graph\n"
        "against circuit-tracer in the Python of --peer_python (some minutes)",
        "repeats batch_rows peer_python", run_peers, all_flags="",
    ),
    "compile": Benchmark(
        "nothing is run: programs at real sizes, compiled for the card of --target; their memory, traffic and bounds\n"
        "of time; needs the extra `cuda`, no GPU (three minutes, 5 GB; --compile_layers=2: one).\n"
        "--programs=stage_8b,stage_8b_bfloat16: the whole pathway stage against its 15 minutes (five each)",
        "target programs compile_layers", bench_compile.run_compile, True, bench_compile.device,
    ),
})  # fmt: skip


def listing() -> str:
    """The benchmarks by name, one or two lines each."""
    width = max(map(len, BENCHMARKS)) + 2
    return "\n".join(
        f"    {name:<{width}}" + f"\n{'':{width + 4}}".join(benchmark.measures.split("\n"))
        for name, benchmark in BENCHMARKS.items()
    )
