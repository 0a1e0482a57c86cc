"""The costs of drivers that look at neurons, from what is known of a stage before it runs (see `costs`)."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from causeway.engine.analyses.study.costs import Cost, Facts, without


def represent(facts: Facts) -> Cost:
    """A pass that keeps a vector a prompt, and a row for each of two answers."""
    without(facts, "generate", "full")
    lengths = facts.prompts()
    tokens = sum(facts.width(length) + 2 * facts.width(length + 1) for length in lengths)
    disk = len(lengths) * (4.0 * facts.shape().width + 400)
    return Cost(4.0 + 0.002 * len(lengths), 4.0e8 + facts.weight_bytes(), disk, facts.forward(tokens, 2 * len(lengths)))


def direction(facts: Facts) -> Cost:
    """Fits over vectors, and pictures."""
    count, width = len(facts.prompts()), facts.shape().width
    return Cost(3.2 + 1e-6 * count * width, 3.4e8 + facts.weight_bytes(), 3.4e4 + 70.0 * count + 4.0 * width)


def rank(facts: Facts) -> Cost:
    """Each layer's MLP ablated, from there to the top; activations, and one pass back."""
    lengths, shape = facts.prompts(), facts.shape()
    tokens = sum(map(facts.width, lengths))
    operations = facts.forward(tokens * (5 + shape.layers / 2), len(lengths) * (1 + shape.layers))
    disk = 2e4 + 80.0 * shape.neurons + 70.0 * len(lengths)
    return Cost(23.0 + 0.002 * len(lengths), 6.8e8 + facts.weight_bytes(), disk, operations, 0.5)


def second_order(facts: Facts) -> Cost:
    """A recorded pass a prompt, and one adjoint sweep a direction that reads every neuron of every layer."""
    lengths, shape, directions = facts.prompts(), facts.shape(), facts.counted("directions")
    tokens = sum(map(facts.width, lengths))
    swept = shape.attention_numbers + shape.neurons * shape.width
    operations = facts.forward(tokens, len(lengths)) + 2.0 * swept * tokens * directions * facts.values["orders"]
    scores = float(shape.neurons * directions)
    disk = scores * (85.0 + 7.5 * len(lengths))
    return Cost(8.0 + 0.003 * len(lengths), 5.7e8 + facts.weight_bytes(), disk, operations, 0.5)


def components(facts: Facts) -> Cost:
    """A recorded pass a prompt and a number for each neuron and later head; components from their products."""
    lengths, shape, neurons = facts.prompts(), facts.shape(), facts.counted("neurons")
    heads = shape.heads * shape.layers / 2
    operations = facts.forward(sum(map(facts.width, lengths)), 0) + 2.0 * neurons * heads * heads * len(lengths)
    disk = 2e4 + neurons * (8.0 * shape.width + 4.0 * heads * len(lengths))
    return Cost(9.0 + 0.003 * len(lengths), 5.4e8 + facts.weight_bytes(), disk, operations, 0.5)


def decompose(facts: Facts) -> Cost:
    """Products of residuals with every text for each atom, for each neuron and its reflected lexicons; with a lexicon
    of all tokens, which is the longest."""
    neurons, atoms = facts.counted("neurons"), facts.values["atoms"]
    operations = 2.0 * facts.shape().logit_numbers * neurons * atoms * (1 + facts.values["null_draws"])
    return Cost(5.0, 4.4e8 + facts.weight_bytes(), 2.5e4 + 70.0 * neurons * atoms, operations, 0.5)


def ablate(facts: Facts) -> Cost:
    """A pass for masses, one for activations and three edited ones a prompt, and a sum over codes for each of a dozen
    substitutions; as if all prompts were held out, which are a part."""
    lengths, shape, neurons = facts.prompts(), facts.shape(), facts.counted("neurons")
    tokens, live = sum(map(facts.width, lengths)), 4 if facts.values["live"] else 0
    operations = facts.forward(tokens * (1 + live), 12 * len(lengths))
    operations += 12.0 * neurons * shape.heads * shape.layers * shape.width * len(lengths)
    seconds = 5.8 + 19.0 * bool(facts.values["live"]) + 0.01 * len(lengths)
    return Cost(seconds, 8.2e8 + facts.weight_bytes(), 1e4 + 100.0 * len(lengths), operations, 0.5)


def edit(facts: Facts) -> Cost:
    """A row for each of two answers of each prompt, for the model as it is and for every setting: each neuron alone and
    the first 2, 4, 8, ... and all of them together, by every factor."""
    without(facts, "unrelated", "unrelated_data", "export")
    lengths, count, values = facts.prompts(), facts.counted("neurons"), facts.values
    together = len(values["together"]) or max(count - 1, 0).bit_length()
    settings = 1 + len(values["factors"]) * (count + together)
    tokens = settings * sum(2 * facts.width(length + 1) for length in lengths)
    operations = facts.forward(tokens, 2 * settings * len(lengths))
    seconds = 3.1 + 0.00012 * settings * len(lengths)
    return Cost(seconds, 4.3e8 + facts.weight_bytes(), 7e3 + 110.0 * settings, operations, 0.5)


def errors(facts: Facts) -> Cost:
    """A pass a prompt for activations; for scores what `second_order` takes along one direction, unless they are given.
    Then an area for each neuron."""
    lengths, shape, measure = facts.prompts(), facts.shape(), facts.values["measure"]
    swept = shape.attention_numbers * (measure == "second_order") + shape.neurons * shape.width
    tokens = sum(map(facts.width, lengths)) * (not facts.values["scores"])
    operations = facts.forward(tokens, 0) + 2.0 * swept * tokens * (measure != "activation")
    seconds = 2.9 + 2.8 * (measure == "second_order") + 2e-6 * shape.neurons * len(lengths)
    memory = 4.5e8 + 1e8 * (measure == "second_order") + facts.weight_bytes()
    return Cost(seconds, memory, 7e4 + 45.0 * shape.neurons, operations, 0.5)


def polysemanticity(facts: Facts) -> Cost:
    """Sums over the codes of `components`, of each neuron and prompt."""
    numbers = facts.counted("neurons") * len(facts.prompts())
    return Cost(2.5 + 2e-5 * numbers, 4.3e8 + facts.weight_bytes(), 4e3 + 180.0 * facts.counted("neurons"))


def adversarial(facts: Facts) -> Cost:
    """A pass for each word that is tried (as many random ones; those that push the other way, unless words are given)
    and each prompt that chooses; for each of three arms, word that is kept and prompt held out, two answers and the
    direction."""
    lengths, values = facts.prompts(), facts.values
    tried, chosen = len(values["words"]) or values["num_words"], 1.0 - values["held_out"]
    kinds = 2 if values["words"] else 3
    kept = (1.0 - chosen) * (3 * min(values["keep"], tried) + 1)
    passes = chosen * (kinds * tried + 1) + 3 * kept
    tokens = passes * sum(facts.width(length + 1) for length in lengths)
    operations = facts.forward(tokens, passes * len(lengths))
    seconds = 2.2 + 0.0002 * passes * len(lengths)
    return Cost(seconds, 3.6e8 + facts.weight_bytes(), 7e3 + 440.0 * kept * len(lengths), operations, 0.5)


COSTS: Mapping[str, Callable[[Facts], Cost]] = MappingProxyType({
    "represent": represent, "direction": direction, "rank": rank, "second_order": second_order,
    "components": components, "decompose": decompose, "ablate": ablate, "edit": edit, "errors": errors,
    "polysemanticity": polysemanticity, "adversarial": adversarial,
})  # fmt: skip
