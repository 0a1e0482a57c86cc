"""The cost of each driver: one small function a driver, from what is known of a stage before it runs (see `costs`).

Seconds were measured on the bundled model with 12 and 80 prompts, 36 and 144 for the drivers of neurons; operations
and bytes follow from the algorithms.
"""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from causeway.engine.analyses.patch_sweep.arms import make_arms
from causeway.engine.analyses.study.costs import Cost, Facts, Unknown

# Bytes of a stored edge of a graph, of a row of an intervention, of a scored prompt, of the pictures of a baseline.
_EDGE_BYTES, _ROW_BYTES, _PROMPT_BYTES, _PICTURE_BYTES = 45, 700, 260, 1.1e5


def _prompts(facts: Facts) -> Cost:
    """Texts alone; with a model its tokenizer."""
    count = len(facts.prompts())
    return Cost((1.9 if facts.values["model"] else 0.7) + 0.0005 * count, 2.5e8, _PROMPT_BYTES * count, loads=False)


def _evaluate(facts: Facts) -> Cost:
    """A row for each of two answers, to the width of prompt and answer."""
    _without(facts, "generate")
    lengths = facts.prompts()
    tokens = sum(2 * facts.width(length + 1) for length in lengths)
    disk = _PROMPT_BYTES * len(lengths) + facts.sets * _PICTURE_BYTES / 2
    return Cost(5.4 + 0.002 * len(lengths), 4.6e8 + facts.weight_bytes(), disk, facts.forward(tokens, 2 * len(lengths)))


def _features(facts: Facts) -> Cost:
    """A pass a prompt, and all features of its places."""
    lengths, found = facts.prompts(), facts.features()
    places = sum(_places(str(facts.values["positions"]), length) for length in lengths)
    tokens = sum(map(facts.width, lengths))
    disk = found.layers * (8.0 * places * facts.values["keep"] + 16.0 * facts.sets * found.features)
    operations = facts.forward(tokens, 0) + found.numbers * places
    full = 4.0 * places * found.features * found.layers if facts.values["full"] else 0.0
    return Cost(4.8 + 0.003 * len(lengths), 4.3e8 + facts.weight_bytes(), disk + full, operations)


def _contexts(facts: Facts) -> Cost:
    """A pass over each row of text with all features, and every feature's decoder row times the vocabulary."""
    if facts.values["data"] != ["tasks"]:
        raise Unknown("how long its texts are is not known before they are read")
    shape, found, rows = facts.shape(), facts.features(), facts.values["num_texts"]
    tokens = rows * facts.values["length"]
    each = facts.values["keep"] + facts.values["bands"] * facts.values["band_contexts"]
    kept = 4.0 * found.features * found.layers * each * (2 * facts.values["reach"] + 4)
    written = 2.0 * found.features * found.layers * shape.logit_numbers
    operations = facts.forward(tokens, 0) + found.numbers * tokens + written
    units = -(-rows // facts.values["unit_rows"])
    return Cost(
        12.0 + 0.02 * rows, 5.0e8 + facts.weight_bytes() + 3 * kept, kept * (0.1 * units + 0.4), operations, 0.5
    )


def _attribute(facts: Facts) -> Cost:
    """A recorded pass a prompt, then a target row of the adjoint for each feature of its graph."""
    lengths, most = facts.prompts(), facts.values["max_feature_nodes"]
    nodes = [facts.active() * (length - 1) for length in lengths]
    rows = [node if facts.values["all_features"] else min(node, most) for node in nodes]
    widths = list(map(facts.width, lengths))
    adjoint = sum(row * width for row, width in zip(rows, widths, strict=True))
    operations = facts.forward(sum(widths), len(lengths)) + 2.0 * facts.features().numbers * sum(widths)
    operations += facts.shape().attention_numbers * adjoint
    disk = _EDGE_BYTES * sum(row * node / 2 for row, node in zip(rows, nodes, strict=True))
    return Cost(17.5 + 0.0011 * sum(rows), 6.7e8 + facts.weight_bytes(), disk, operations, 0.4)


def _intervene(facts: Facts) -> Cost:
    """A recorded pass a prompt, then a row for each feature and operation from its layer to the top, half the layers in
    the mean, in batches of one width; prompts that choose features alone are not changed."""
    _without(facts, "generate", "importance")
    lengths, each = facts.prompts(), facts.values["max_features"] * len(facts.values["operation"])
    widths = list(map(facts.width, lengths))
    if facts.values["edits"]:
        each = len(facts.values["edits"]) * len(facts.values["operation"])
    measured = 1.0 - (facts.values["held_out"] or 0.0)
    rows = each * measured * len(lengths)
    # Rows of a prompt are padded to the batch.
    batches = [(width, facts.values["batch_rows"] or max(8, min(128, 8192 // width))) for width in widths]
    padded = [(width, -(-each // batch) * batch * measured) for width, batch in batches]
    tokens = sum(widths) + sum(width * count for width, count in padded) / 2
    operations = facts.forward(tokens, sum(count for _, count in padded))
    seconds = 8.5 + 0.1 * len(lengths) + 0.0008 * rows
    return Cost(seconds, 6.2e8 + facts.weight_bytes(), 5e4 + _ROW_BYTES * rows, operations, 0.5)


def _represent(facts: Facts) -> Cost:
    """A pass that keeps a vector a prompt, and a row for each of two answers."""
    _without(facts, "generate", "full")
    lengths = facts.prompts()
    tokens = sum(facts.width(length) + 2 * facts.width(length + 1) for length in lengths)
    disk = len(lengths) * (4.0 * facts.shape().width + 400)
    return Cost(4.0 + 0.002 * len(lengths), 4.0e8 + facts.weight_bytes(), disk, facts.forward(tokens, 2 * len(lengths)))


def _direction(facts: Facts) -> Cost:
    """Fits over vectors, and pictures."""
    count, width = len(facts.prompts()), facts.shape().width
    return Cost(3.2 + 1e-6 * count * width, 3.4e8 + facts.weight_bytes(), 3.4e4 + 70.0 * count + 4.0 * width)


def _rank(facts: Facts) -> Cost:
    """Each layer's MLP ablated, from there to the top; activations, and one pass back."""
    lengths, shape = facts.prompts(), facts.shape()
    tokens = sum(map(facts.width, lengths))
    operations = facts.forward(tokens * (5 + shape.layers / 2), len(lengths) * (1 + shape.layers))
    disk = 2e4 + 80.0 * shape.neurons + 70.0 * len(lengths)
    return Cost(23.0 + 0.002 * len(lengths), 6.8e8 + facts.weight_bytes(), disk, operations, 0.5)


def _second_order(facts: Facts) -> Cost:
    """A recorded pass a prompt, and one adjoint sweep a direction that reads every neuron of every layer."""
    lengths, shape, directions = facts.prompts(), facts.shape(), facts.counted("directions")
    tokens = sum(map(facts.width, lengths))
    swept = shape.attention_numbers + shape.neurons * shape.width
    operations = facts.forward(tokens, len(lengths)) + 2.0 * swept * tokens * directions * facts.values["orders"]
    scores = float(shape.neurons * directions)
    disk = scores * (85.0 + 7.5 * len(lengths))
    return Cost(8.0 + 0.003 * len(lengths), 5.7e8 + facts.weight_bytes(), disk, operations, 0.5)


def _components(facts: Facts) -> Cost:
    """A recorded pass a prompt and a number for each neuron and later head; components from their products."""
    lengths, shape, neurons = facts.prompts(), facts.shape(), facts.counted("neurons")
    heads = shape.heads * shape.layers / 2
    operations = facts.forward(sum(map(facts.width, lengths)), 0) + 2.0 * neurons * heads * heads * len(lengths)
    disk = 2e4 + neurons * (8.0 * shape.width + 4.0 * heads * len(lengths))
    return Cost(9.0 + 0.003 * len(lengths), 5.4e8 + facts.weight_bytes(), disk, operations, 0.5)


def _decompose(facts: Facts) -> Cost:
    """Products of residuals with every text for each atom, for each neuron and its reflected lexicons; with a lexicon
    of all tokens, which is the longest."""
    neurons, atoms = facts.counted("neurons"), facts.values["atoms"]
    operations = 2.0 * facts.shape().logit_numbers * neurons * atoms * (1 + facts.values["null_draws"])
    return Cost(5.0, 4.4e8 + facts.weight_bytes(), 2.5e4 + 70.0 * neurons * atoms, operations, 0.5)


def _ablate(facts: Facts) -> Cost:
    """A pass for masses, one for activations and three edited ones a prompt, and a sum over codes for each of a dozen
    substitutions; as if all prompts were held out, which are a part."""
    lengths, shape, neurons = facts.prompts(), facts.shape(), facts.counted("neurons")
    tokens, live = sum(map(facts.width, lengths)), 4 if facts.values["live"] else 0
    operations = facts.forward(tokens * (1 + live), 12 * len(lengths))
    operations += 12.0 * neurons * shape.heads * shape.layers * shape.width * len(lengths)
    seconds = 5.8 + 19.0 * bool(facts.values["live"]) + 0.01 * len(lengths)
    return Cost(seconds, 8.2e8 + facts.weight_bytes(), 1e4 + 100.0 * len(lengths), operations, 0.5)


def _screen(facts: Facts) -> Cost:
    """A pass a prompt and all features of its last token; games that the model plays have no length before."""
    _without(facts, "play")
    lengths, found = facts.prompts(), facts.features()
    operations = facts.forward(sum(map(facts.width, lengths)), 0) + float(found.numbers) * len(lengths)
    disk = 1900.0 * len(lengths) + 110.0 * found.features * found.layers
    return Cost(4.8 + 0.01 * len(lengths), 4.7e8 + facts.weight_bytes(), disk, operations)


def _patch_sweep(facts: Facts) -> Cost:
    """A clean pass a prompt; then for each row (feature, arm, trial) what is computed anew: of exact outcomes two
    tokens or so over the layers above, half of them in the mean, of rollouts every token that is written."""
    lengths, rows = facts.prompts(), _rows(facts)
    sampled = facts.values["outcome"] == "sampled"
    read = rows * len(lengths) * (facts.values["max_new_tokens"] if sampled else 1)
    operations = facts.forward(sum(map(facts.width, lengths)) + read, read)
    seconds = (13.1 if sampled else 14.5) + 0.00038 * rows * len(lengths)
    return Cost(seconds, 6.2e8 + facts.weight_bytes(), 1e5 + 47.0 * rows * len(lengths), operations, 0.5)


def _pathways(facts: Facts) -> Cost:
    """Twice a row of the adjoint for each target and prompt; then passes that set each source, and each of the random
    features beside it, from its first token on, on half of the prompts, over half of the layers in the mean. As if no
    two targets shared a source."""
    lengths, values = facts.prompts(), facts.values
    pairs = facts.counted("patched") * (values["top"] + values["random_pairs"])
    rows = pairs * (1 + values["random_draws"]) * len(lengths) / 2
    widths = list(map(facts.width, lengths))
    tokens = sum(_scoped(str(values["scope"]), width) for width in widths) / len(widths)
    operations = facts.forward(sum(widths) * (1 + facts.counted("patched")) + rows * tokens / 2, 0)
    return Cost(37.0 + 0.0023 * rows, 1.1e9 + facts.weight_bytes(), 2e5 + 40.0 * rows, operations, 0.5)


def _replay(facts: Facts) -> Cost:
    """The rollouts of a sampled sweep, recorded, and once more along the clean ones' tokens."""
    _without(facts, "sweep")
    lengths, rows = facts.prompts(), _rows(facts) * (2 if facts.values["teacher_forced"] else 1)
    written = rows * len(lengths) * facts.values["max_new_tokens"]
    operations = facts.forward(sum(map(facts.width, lengths)) + written, written)
    seconds = 20.0 + 0.0006 * rows * len(lengths)
    return Cost(seconds, 7e8 + facts.weight_bytes(), 5e5 + 500.0 * rows * len(lengths), operations, 0.5)


def _tokens(facts: Facts) -> Cost:
    """Texts cut into words and counted, and tests of every word."""
    count = facts.counted("responses")
    return Cost(3.0 + 0.0002 * count, 3e8 + 4000.0 * count, 1e5 + 50.0 * count, loads=False)


def _audit(facts: Facts) -> Cost:
    """Every response read and checked."""
    count = facts.counted("responses")
    return Cost(1.5 + 1.9e-5 * count, 2.5e8 + 1500.0 * count, 1e4, loads=False)


def _select(facts: Facts) -> Cost:
    """As `audit`; what is chosen is small."""
    count = facts.counted("responses")
    return Cost(1.5 + 1.9e-5 * count, 2.5e8 + 1500.0 * count, 5e4, loads=False)


def _integrate(facts: Facts) -> Cost:
    """The tables of all stages, and texts that are similar."""
    count = facts.counted("responses")
    return Cost(2.0 + 2.7e-5 * count, 3e8 + 1500.0 * count, 2e5, loads=False)


def _convert(facts: Facts) -> Cost:
    """Weights read, written and hashed."""
    if not facts.values["model"]:
        raise Unknown("of dictionaries that are converted no figures are known")
    written = facts.weight_bytes() - (facts.dictionaries.numbers * 4 if facts.dictionaries else 0)
    return Cost(1.4 + 9.5e-9 * written, 2.5e8 + 1.6 * written, written)


def responses(facts: Facts) -> int:
    """Texts that a sampled sweep writes; raises Unknown."""
    return _rows(facts) * len(facts.prompts())


def _scoped(scope: str, width: int) -> int:
    """Tokens from the first of a scope on."""
    if scope == "last_prompt":
        return 1
    name, _, first = scope.partition(":")
    start = first.partition(":")[0]
    return min(int(start[1:]), width) if name == "positions" and re.fullmatch(r"-[0-9]+", start) else width


def _rows(facts: Facts, groups: int = 2) -> int:
    """Rows of each prompt: the arms of every feature, and a baseline, each so often as there are trials."""
    values = facts.values
    arms = make_arms(
        values["arms"], [str(group) for group in range(groups)], [float(dose) for dose in values.get("doses", ())],
        values["random_draws"],
    )  # fmt: skip
    trials = values["trials"] if values.get("outcome", "sampled") == "sampled" else 1
    return trials * (1 + facts.counted("patched") * sum(arm.of_features for arm in arms))


COSTS: Mapping[str, Callable[[Facts], Cost]] = MappingProxyType({
    "prompts": _prompts, "evaluate": _evaluate, "features": _features, "contexts": _contexts, "attribute": _attribute,
    "intervene": _intervene, "represent": _represent, "direction": _direction, "rank": _rank,
    "second_order": _second_order, "components": _components, "decompose": _decompose,
    "ablate": _ablate, "screen": _screen, "patch_sweep": _patch_sweep,
    "pathways": _pathways, "replay": _replay, "tokens": _tokens, "audit": _audit, "select": _select,
    "integrate": _integrate, "convert": _convert,
})  # fmt: skip


def cost(driver: str, facts: Facts) -> Cost:
    """What a stage takes.

    Raises:
        Unknown: it cannot be told.
    """
    if driver not in COSTS:
        raise Unknown(f"no figures of {driver} are known; a first run gives them")
    return COSTS[driver](facts)


def _places(positions: str, length: int) -> int:
    """Tokens of a prompt that are read."""
    if positions == "all":
        return length - 1
    name, _, count = positions.partition("_")
    return min(int(count), length) if name == "last" and count.isdecimal() else positions.count(",") + 1


def _without(facts: Facts, *names: str) -> None:
    """Refuse what is not foreseen."""
    if given := [name for name in names if facts.values[name]]:
        raise Unknown(f"what --{given[0]} takes is not known before it is run")
