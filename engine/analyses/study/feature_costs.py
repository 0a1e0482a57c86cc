"""The costs of drivers that look at features, from what is known of a stage before it runs (see `costs`)."""

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType

from causeway.engine.analyses.patch_sweep.arms import make_arms
from causeway.engine.analyses.study.costs import Cost, Facts, Unknown, without

# Bytes of a stored edge of a graph, of a row of an intervention.
_EDGE_BYTES, _ROW_BYTES = 45, 700


def features(facts: Facts) -> Cost:
    """A pass a prompt, and all features of its places."""
    lengths, found = facts.prompts(), facts.features()
    places = sum(_places(str(facts.values["positions"]), length) for length in lengths)
    tokens = sum(map(facts.width, lengths))
    disk = found.layers * (8.0 * places * facts.values["keep"] + 16.0 * facts.sets * found.features)
    operations = facts.forward(tokens, 0) + found.numbers * places
    full = 4.0 * places * found.features * found.layers if facts.values["full"] else 0.0
    return Cost(4.8 + 0.003 * len(lengths), 4.3e8 + facts.weight_bytes(), disk + full, operations)


def contexts(facts: Facts) -> Cost:
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


def attribute(facts: Facts) -> Cost:
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


def intervene(facts: Facts) -> Cost:
    """A recorded pass a prompt, then a row for each feature and operation from its layer to the top, half the layers in
    the mean, in batches of one width; prompts that choose features alone are not changed."""
    without(facts, "generate", "importance")
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


def screen(facts: Facts) -> Cost:
    """A pass a prompt and all features of its last token; games that the model plays have no length before."""
    without(facts, "play")
    lengths, found = facts.prompts(), facts.features()
    operations = facts.forward(sum(map(facts.width, lengths)), 0) + float(found.numbers) * len(lengths)
    disk = 1900.0 * len(lengths) + 110.0 * found.features * found.layers
    return Cost(4.8 + 0.01 * len(lengths), 4.7e8 + facts.weight_bytes(), disk, operations)


def patch_sweep(facts: Facts) -> Cost:
    """A clean pass a prompt; then for each row (feature, arm, trial) what is computed anew: of exact outcomes two
    tokens or so over the layers above, half of them in the mean, of rollouts every token that is written."""
    lengths, rows = facts.prompts(), _rows(facts)
    sampled = facts.values["outcome"] == "sampled"
    read = rows * len(lengths) * (facts.values["max_new_tokens"] if sampled else 1)
    operations = facts.forward(sum(map(facts.width, lengths)) + read, read)
    seconds = (13.1 if sampled else 14.5) + 0.00038 * rows * len(lengths)
    return Cost(seconds, 6.2e8 + facts.weight_bytes(), 1e5 + 47.0 * rows * len(lengths), operations, 0.5)


def pathways(facts: Facts) -> Cost:
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


def replay(facts: Facts) -> Cost:
    """The rollouts of a sampled sweep, recorded, and once more along the clean ones' tokens."""
    without(facts, "sweep")
    lengths, rows = facts.prompts(), _rows(facts) * (2 if facts.values["teacher_forced"] else 1)
    written = rows * len(lengths) * facts.values["max_new_tokens"]
    operations = facts.forward(sum(map(facts.width, lengths)) + written, written)
    seconds = 20.0 + 0.0006 * rows * len(lengths)
    return Cost(seconds, 7e8 + facts.weight_bytes(), 5e5 + 500.0 * rows * len(lengths), operations, 0.5)


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


def _places(positions: str, length: int) -> int:
    """Tokens of a prompt that are read."""
    if positions == "all":
        return length - 1
    name, _, count = positions.partition("_")
    return min(int(count), length) if name == "last" and count.isdecimal() else positions.count(",") + 1


COSTS: Mapping[str, Callable[[Facts], Cost]] = MappingProxyType({
    "features": features, "contexts": contexts, "attribute": attribute, "intervene": intervene, "screen": screen,
    "patch_sweep": patch_sweep, "pathways": pathways, "replay": replay,
})  # fmt: skip
