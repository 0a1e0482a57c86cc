"""The costs of drivers that train, from what is known of a stage before it runs (see `costs`)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from causeway.engine.analyses.inspect.forecast import model_numbers
from causeway.engine.analyses.study.costs import Cost, Facts, Unknown, without
from causeway.engine.model.config import ModelConfig

# Features for each number of the stream, where their number is not said.
_WIDER = 8


def train_model(facts: Facts) -> Cost:
    """Three times a forward pass of 2 N a token of N numbers, the unembedding among them; parameters, their gradients
    and two moments, and what the pass of a step keeps of each token and layer."""
    without(facts, "tokenizer")
    config: Mapping[str, Any] = facts.values["config"]
    tokens, length = _step(config, bool(facts.values["data"]))
    shape = ModelConfig(**config["model"], vocab_size=config["max_vocabulary"])
    numbers = model_numbers(shape)
    products = numbers - (0 if shape.tied_embeddings else shape.vocab_size * shape.d_model)
    steps = config["schedule"]["steps"]
    each = shape.num_layers * (16 * shape.d_model + 4 * shape.d_ff + 2 * shape.num_heads * length) + shape.vocab_size
    memory = 4.5e8 + 16.0 * numbers + 10.0 * tokens * each
    return Cost(6.5, memory, 2.0 * numbers, 6.0 * products * tokens * steps, 0.3, loads=False)


def _step(config: Mapping[str, Any], of_texts: bool) -> tuple[int, int]:
    """Tokens of a step, padding among them, and of its longest row."""
    batches = [config["text"]] if of_texts else config["buckets"]
    return sum(one["rows"] * one["length"] for one in batches), max(one["length"] for one in batches)


def train_dictionary(facts: Facts) -> Cost:
    """For each layer 6 (D + O) F operations a token of a batch (of a transcoder that crosses layers a decoder for each
    layer above), and a forward pass for each of these tokens; parameters and two moments, and arrays of a batch's
    features."""
    values, shape = facts.values, facts.shape()
    if not values["steps"]:
        raise Unknown("how many steps it takes follows from its texts; with --steps it is known")
    layers = len(values["layers"]) or shape.layers
    if "all" in values["layers"]:
        layers = shape.layers
    features = values["num_features"] or _WIDER * shape.width
    decoders = layers * (layers + 1) / 2 if values["cross_layer"] else layers
    numbers = (layers + decoders) * shape.width * features
    tokens = float(values["steps"] * values["batch"])
    entries = layers * values["batch"] * features
    seconds = 8.5 + 3.5e-9 * entries * values["steps"]
    memory = 3.9e8 + facts.weight_bytes() + 16.0 * numbers + 16.0 * entries + values["buffer_mib"] * 2.0**20
    operations = facts.forward(tokens, 0) + 6.0 * numbers * tokens
    return Cost(seconds, memory, 4.0 * numbers, operations)


COSTS: Mapping[str, Callable[[Facts], Cost]] = MappingProxyType({
    "train_model": train_model, "train_dictionary": train_dictionary,
})  # fmt: skip
