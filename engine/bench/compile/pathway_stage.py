"""The pathway stage of the gambling study at its real size, as a whole: the least time that a card takes for it.

50 targets of each of the 31 layers with dictionaries (1,550), and 25 sources of each target that are set and read
(38,750 replays), on a prompt of 300 tokens. What `pathways` runs for it, a prompt of each half:

    recording    a pass of each half's prompt, and one that replays start from; all features of two of them encoded
    gradients    of all targets on each half's prompt: discovery, and predictions of what is measured
    replays      a row a source: set from the second token on, run from its layer up to the target's, and read there

and beside it what `replay` runs of as many rows: rollouts of 100 new tokens that record the targets of all layers
(along given tokens they are the same program). Sources lie evenly over the layers below their target, each is a row of
its own, and there are no random features; more prompts, and n random features of each source, take as many times more.

A part takes calls x the least time of a call, which is a straight line in the trips of its loops and the share of its
layers that run, so the mean of both stands for all calls.
"""

import dataclasses
from collections.abc import Callable
from functools import partial

import jax
import numpy as np

from causeway.engine.analyses.pathways.programs import Reading, Shared, pulled
from causeway.engine.analyses.pathways.prompts import Recorded
from causeway.engine.analyses.pathways.targets import ACCELERATOR_TOKENS, Features
from causeway.engine.bench.compile.cards import Card
from causeway.engine.bench.compile.generation import PROMPT, ROLLOUTS, decode_8b
from causeway.engine.bench.compile.report import call_seconds, compiled_for
from causeway.engine.bench.compile.workload import abstract_blocks, abstract_dictionary, integers, llama_8b, shape
from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.engine.frozen.record import record_pass
from causeway.engine.frozen.sources import encode
from causeway.engine.intervention.edits import Edit
from causeway.engine.model.buckets import bucket_width
from causeway.engine.model.config import Numerics
from causeway.engine.model.transformer import Transformer
from causeway.engine.outcome.clean_passes import CleanPasses
from causeway.engine.outcome.feature_reader import FeatureReader
from causeway.engine.outcome.from_clean import Background, Own, batch_rows, edited_last

EACH_LAYER, SOURCES, NEW_TOKENS = 50, 25, 100
FEATURES, ACTIVE = 32768, 64
HALVES = 2
ALLOWED_SECONDS = 900.0


@dataclasses.dataclass(frozen=True)
class Part:
    """One program of the stage.

    Attributes:
        name: what it does. function, arguments: what is compiled. calls: of the whole stage. trips: of loops of unknown
            length. taken: the share of conditionals, which are layers, that do something.
    """

    name: str
    function: Callable
    arguments: tuple
    calls: float
    trips: float = 1.0
    taken: float = 1.0


def parts(layers: int, numerics: Numerics) -> list[Part]:
    """What `pathways` runs with so many of the model's layers; the first has no dictionary."""
    transformer = abstract_blocks(llama_8b(layers), numerics)
    saes = abstract_dictionary(DictionaryConfig("jumprelu", tuple(range(1, layers))), 4096, FEATURES)
    return [*_recording(transformer, saes), _gradients(transformer, saes), _replays(transformer, saes)]


def _recording(transformer: Transformer, saes: Dictionary) -> list[Part]:
    width, config = bucket_width(PROMPT), transformer.config
    passed = partial(record_pass, reads=("resid_post",))
    stream = shape(width, config.d_model, dtype=transformer.numerics.compute_dtype)
    return [
        Part("passes", passed, (transformer, integers(width), integers()), HALVES + 1),
        Part("encoding", encode, (saes, integers(), stream), HALVES * len(saes.config.layers)),
    ]


def _gradients(transformer: Transformer, saes: Dictionary) -> Part:
    """Chunks of targets of each layer but the lowest."""
    config, width, dtype = transformer.config, bucket_width(PROMPT), transformer.numerics.compute_dtype
    count, sums = len(saes.config.layers), transformer.numerics.accumulate_dtype
    above = np.asarray(saes.config.layers[1:])
    targets = Features(np.repeat(above, EACH_LAYER), np.tile(np.arange(EACH_LAYER), len(above)))
    chunks = targets.chunks(max(1, ACCELERATOR_TOKENS // width))
    slots = (count, width, ACTIVE)
    prompt = Recorded(
        shape(config.num_layers, width, config.d_model, dtype=dtype), integers(), integers(*slots),
        shape(*slots, dtype=sums), integers(count, width * ACTIVE), shape(count, width, dtype=dtype),
        shape(width, dtype=bool),
    )  # fmt: skip
    own = (integers(), integers(chunks[0].rows), None)
    function = partial(pulled, reading=Reading("total", "sum", SOURCES))
    trips = float(np.mean([chunk.layer - 1 - min(saes.config.layers) for chunk in chunks]))
    return Part("gradients", function, (Shared(transformer, saes, prompt), own), HALVES * len(chunks), trips)


def _replays(transformer: Transformer, saes: Dictionary) -> Part:
    """Rows that run from their source's layer up to their target's."""
    config, width, numerics = transformer.config, bucket_width(PROMPT), transformer.numerics
    layers, dtype = config.num_layers, numerics.compute_dtype
    rows = batch_rows(width, "gpu")
    chosen = {layer: range(EACH_LAYER) for layer in saes.config.layers}
    reader = jax.eval_shape(lambda d: FeatureReader.of(d, chosen), saes)
    heads = (layers, 1, width, config.num_kv_heads, config.head_dim)
    streams = shape(layers, 1, width, config.d_model, dtype=dtype)
    clean = CleanPasses(
        streams, shape(*heads, dtype=dtype), shape(*heads, dtype=dtype), shape(1, config.d_model, dtype=dtype), None,
        integers(1), {"resid_post": streams},
    )  # fmt: skip
    numbers, values = integers(rows, 1), shape(rows, 1, dtype=numerics.accumulate_dtype)
    edit = Edit(numbers, numbers, numbers, numbers, values, values, numbers)
    own = Own((edit,), integers(rows), integers(rows), integers(), integers())
    function = partial(edited_last, tokens=width, logits=False)
    counts, blocks = spread(saes.config.layers)
    taken = float(blocks @ counts / counts.sum() / layers)
    calls = float(np.ceil(counts / rows).sum())
    return Part("replays", function, (Background(transformer, saes, clean, reader), own), calls, taken=taken)


def spread(layers: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Rows and mean blocks that they run, by layer of the source, [S - 1]: sources lie evenly below their target."""
    sources = EACH_LAYER * SOURCES * len(layers) / (len(layers) - 1)
    counts, blocks = np.zeros(len(layers)), np.zeros(len(layers))
    for target in range(1, len(layers)):
        counts[:target] += sources / target
        blocks[:target] += sources / target * (layers[target] - np.asarray(layers[:target]) + 1)
    return counts[:-1], blocks[:-1] / counts[:-1]


def pathway_stage(card: Card, layers: int, numerics: Numerics) -> dict[str, float]:
    """Seconds of each part and of all, at least; and of as many rollouts by `replay`."""
    own = range(1, layers)
    targets, rows = EACH_LAYER * len(own), EACH_LAYER * len(own) * SOURCES
    found: dict[str, float] = {"targets": targets, "replays": rows}
    for part in parts(layers, numerics):
        compiled = compiled_for(card, part.function, part.arguments)
        seconds = part.calls * call_seconds(card, compiled, part.trips, part.taken)
        found |= {f"seconds {part.name}": seconds, f"gb {part.name}": compiled.memory / 1e9}
    total = sum(value for name, value in found.items() if name.startswith("seconds "))
    rollouts = decode_8b(layers)
    segment = call_seconds(card, compiled_for(card, rollouts.function, rollouts.arguments), rollouts.trips)
    return found | {
        "targets_per_second": HALVES * targets / found["seconds gradients"],
        "replays_per_second": rows / found["seconds replays"],
        "seconds": total, "seconds_allowed": ALLOWED_SECONDS, "fraction_of_allowed": total / ALLOWED_SECONDS,
        "seconds rollouts by replay": -(-rows // ROLLOUTS) * NEW_TOKENS * segment / rollouts.trips,
    }  # fmt: skip
