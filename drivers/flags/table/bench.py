"""Flags of `bench` (see the table)."""

from collections.abc import Mapping
from types import MappingProxyType

from causeway.drivers.flags.entry import Entry, listed, number, switch, text, whole

BENCH: Mapping[str, Entry] = MappingProxyType({
    "threads": whole("CPU threads to use (0: all); figures are meant for one.", 1, 0),
    "repeats": whole("Timed repetitions.", 2),
    "bench_layers": whole("Layers of the random model (the reference has 8).", 8),
    "load_layers": whole("Layers of the files that `load` writes (2: 1.4 GB of model, 1.1 GB of SAEs).", 2),
    "all_rows": switch("attribute: also time a graph with a row for every active feature.", True),
    "tokens": whole("Tokens of each prompt (default: 32; of heads 16, of second_order and pathways 64).", None, 2),
    "num_prompts": whole("heads: random prompts.", 100),
    "all_tokens": switch("heads: also ablate at all tokens, which takes ten times as long.", False),
    "nodes": whole("attribute: node budget.", 2048),
    "card": Entry("string", None, "A card that is not here: h200, a100, rtx4090, a40, or a JSON file.", name="target"),
    "programs": listed("compile, all: of what they run these alone (default: all)."),
    "peer_python": text("peers: a Python that has circuit-tracer, which needs a transformers of its own."),
    "worse_by": number("compare: share of a figure by which it may be worse.", 0.1, 0),
    "compile_layers": whole("compile: layers of each model, for a quick look (default: all).", None, 2),
})  # fmt: skip
