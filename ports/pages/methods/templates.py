"""The sentences of methods paragraphs, a template a command: facts in braces, by the names that `facts.py` gives."""

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Sentence:
    """A sentence that is said where its facts are recorded.

    Attributes:
        text: with facts in braces. where: facts that must have these values.
    """

    text: str
    where: Mapping[str, str] = dataclasses.field(default_factory=dict)


def _when(name: str, value: str, text: str) -> Sentence:
    return Sentence(text, {name: value})


BEGINNING = (
    Sentence("This result is unfinished: {missing}."),
    Sentence("The model is {model} (sha256 of its weights: {weights})."),
    Sentence("Dictionaries are {about.dictionaries}."),
    Sentence("The dictionaries' sha256 is {dictionaries}."),
)  # fmt: skip

TEMPLATES: Mapping[str, tuple[Sentence, ...]] = {
    "patch_sweep": (
        Sentence("{plan.config.features} features were changed, one at a time, on {plan.config.prompts} prompts."),
        Sentence("By group, prompts are {about.prompts}."),
        Sentence("The arms are {plan.config.settings.arms}."),
        _when("arm.baseline", "yes", "baseline changes nothing."),
        _when("arm.noop", "yes", "noop sets the feature to its own value."),
        _when("arm.patch", "yes", "patch sets it to its value in a group."),
        _when("arm.ablate", "yes", "ablate sets it to 0."),
        _when("arm.random", "yes", "random makes a change of equal norm along a random feature's direction."),
        _when("arm.dose", "yes", "dose goes that part of the way from the feature's own value to the group's."),
        Sentence("The values set are {about.edits.values}."),
        Sentence("The operation is {plan.config.settings.operation}, written by {plan.config.settings.form}, at "
                 "{plan.config.settings.scope}; held as in the clean pass: {plan.config.settings.holds}."),
        _when("plan.config.settings.outcome", "exact",
              "Outcomes are exact probabilities of the prompts' answers; nothing was drawn."),
        Sentence("Outcomes were sampled: {plan.config.settings.trials} rollouts a prompt and arm, at temperature "
                 "{plan.config.settings.sampling.temperature}, top k {plan.config.settings.sampling.top_k}, top p "
                 "{plan.config.settings.sampling.top_p}, read by the parser {plan.config.settings.parser}.",
                 {"plan.config.settings.outcome": "sampled"}),
        Sentence("The outcomes read are {about.reading.outcomes}."),
        _when("about.reading.split", "yes",
              "One half of the prompts decided which effects are real, and the other half how large they are."),
        _when("about.reading.split", "no",
              "The same prompts decided which effects are real and how large they are."),
        Sentence("The unit of analysis is the {units}."),
        Sentence("Intervals ({about.reading.settings.estimates.confidence} of the mean over prompts) and p are by: "
                 "{intervals}."),
        Sentence("False discovery rates (q) are by {about.reading.settings.correction}, over features and contrasts of "
                 "each group and outcome."),
        Sentence("A feature is called causal where q is below {about.reading.settings.rule.alpha}, the effect on "
                 "prompts that did not choose it keeps its sign, has an interval without 0 and is above "
                 "{about.reading.settings.rule.tau} of a probability or {about.reading.settings.rule.tau_amount} of an "
                 "amount, it is beyond {about.reading.settings.rule.envelope} of random features, its sign is the same "
                 "in all groups, and the outcome follows the dose with a rank correlation of at least "
                 "{about.reading.settings.rule.least_rho}, as far as arms and groups allow each to be judged.",
                 {"about.reading.split": "yes"}),
    ),
    "screen": (
        Sentence("The values of features of {about.stream} were compared between groups of prompts: {about.prompts}."),
        Sentence("The prompts are game states of the wording {about.flags.wording}, made from seed "
                 "{about.flags.seed}.", {"about.flags.prompts.count": "0"}),
        Sentence("The prompts are those of {about.flags.prompts}."),
        Sentence("Values were read at the position {about.flags.position}."),
        Sentence("d: {about.reading.d}."),
        Sentence("The test is of the {about.reading.test}; under the null hypothesis {about.reading.null}."),
        Sentence("q: {about.reading.q} ({about.reading.family_size} tests)."),
        Sentence("{about.significant} of {about.tested} features that vary have q below {about.compared.alpha}."),
    ),
    "evaluate": (
        Sentence("Log probabilities of a right and a wrong answer were compared on {behaviours}. A prompt is a success "
                 "where the difference by token reaches the margin, and a behaviour passes where the share of "
                 "successes reaches the threshold."),
    ),
    "attribute": (
        Sentence("Attribution graphs were computed for {plan.config.prompts} prompts, with attention patterns and "
                 "norms' denominators held as in the clean pass."),
        Sentence("Targets are the most probable next tokens, until they hold {plan.config.settings.desired_logit_prob} "
                 "of the probability, at most {plan.config.settings.max_logits}, unless a difference of answers is."),
        Sentence("At most {plan.config.settings.max_feature_nodes} features of a prompt have rows of their own, ranked "
                 "again every {plan.config.settings.update_every} rows."),
        Sentence("Positions before {plan.config.settings.ignore_first} have neither features nor errors."),
        Sentence("Edges below {plan.config.settings.edge_floor} of their row's total are not stored."),
    ),
    "intervene": (
        Sentence("Features of {plan.config.prompts} prompts were changed, and answers compared with those unchanged."),
        Sentence("Changed together: {plan.config.settings.kinds}; at most {plan.config.settings.max_features} features "
                 "a prompt, the strongest of the graphs; held as in the clean pass: {plan.config.settings.holds}."),
        Sentence("The operation and its value: {plan.config.settings.operations}."),
        Sentence("A share of {plan.config.settings.held_out} of the prompts was held out: on them those features are "
                 "changed that the other prompts' graphs choose."),
        Sentence("Graphs are those of sha256 {plan.parts.graphs}."),
    ),
    "pathways": (
        Sentence("Of {about.candidates} candidates by gradients, {about.pairs} pairs of {about.sources} sources and "
                 "{about.targets} targets were measured by setting the source to {about.set_to}."),
        Sentence("{about.prompts.choosing} prompts chose and {about.prompts.estimating} estimated."),
        Sentence("The unit is {about.unit}; the test is {about.test}."),
        Sentence("Pathways have q below {about.settings.rule.alpha} by {about.settings.rule.correction}."),
        Sentence("Random pairs beside the chosen: {about.settings.choice.random_pairs} a target; random directions: "
                 "{about.settings.draws} a pair."),
    ),
    "replay": (
        Sentence("{about.sources} source features were set in {about.trials} rollouts a prompt of {about.steps} "
                 "tokens, on prompts {about.prompts}, freely and with the clean text forced."),
        Sentence("Edits act at {about.edits.scope} by {about.edits.form}."),
        Sentence("Changes are {about.reading.delta}; the unit is the {about.reading.unit}, the test "
                 "{about.reading.test}; q: {about.reading.q}."),
    ),
    "tokens": (
        Sentence("{about.responses} texts of {about.features} features were compared between arms ({about.contrasts}), "
                 "by {about.settings.units}."),
        Sentence("Words count that were written {about.settings.statistics.min_count} times or more; tests are "
                 "{about.settings.statistics.exact_test}'s exact ones, corrected by "
                 "{about.settings.statistics.correction}."),
    ),
    "select": (
        Sentence("{about.selected} of {about.candidates} features were chosen, ranked by {about.rank_by}, at most "
                 "{about.per_layer} a layer, for {about.prompts} prompts, {about.prompts_each} a feature."),
    ),
    "integrate": (
        Sentence("What {about.summary.stages} say of {about.summary.features} features was put together, with q below "
                 "{about.summary.alpha}; features are joined to a cluster at a mean similarity of "
                 "{about.summary.similarity}."),
    ),
    "represent": (
        Sentence("The stream {about.stream} was read on {about.prompts} prompts at the position "
                 "{about.about.position}."),
    ),
    "direction": (
        Sentence("Directions ({about.names}) of the stream {about.stream} were fitted on {about.about.fit.prompts} "
                 "prompts and judged on {about.about.judge.prompts} ({about.about.sides}); labels: "
                 "{about.about.labels}."),
    ),
    "rank": (
        Sentence("Layers and neurons of {about.streams} were ranked on {about.choosing_prompts} prompts and their "
                 "effects estimated on {about.estimating_prompts} others."),
        Sentence("Critical layers have {about.rule}."),
    ),
    "second_order": (
        Sentence("Effects of neurons through later attention heads, up to order {about.orders}, were computed on "
                 "{about.prompts} prompts in layers {about.layers}, along {plan.config.directions}."),
    ),
    "components": (
        Sentence("The effects of {about.neurons} neurons through later attention on {about.prompts} prompts were "
                 "decomposed into principal components, at the position {about.position}."),
        Sentence("{about.chosen.prompts} prompts gave the components ({about.chosen.how})."),
    ),
    "decompose": (
        Sentence("Components were decomposed into at most {about.atoms} of {about.texts} {about.kind} by orthogonal "
                 "matching pursuit, with {about.null_draws} random draws to hold them against."),
    ),
    "ablate": (
        Sentence("Second-order effects of {about.neurons} neurons were replaced on {about.prompts} prompts; "
                 "{about.chosen_prompts} prompts chose."),
    ),
    "prompts": (
        Sentence("Prompts were written to {files}."),
    ),
    "features": (
        Sentence("The features of chosen tokens were read on {sets}."),
    ),
    "contexts": (
        Sentence("{about.tokens} tokens of {about.texts} texts were read ({about.data}; sha256 of the tokens "
                 "{about.corpus_fingerprint}), in rows of at most {about.length}, from position {about.first_position} "
                 "on."),
        Sentence("Of {about.features} features of the stream {about.stream}, {about.dead} were never active."),
        Sentence("Of each feature, the {about.top} contexts of the largest values were kept, and {about.each} drawn "
                 "from each of {about.bands} bands by size ({about.about_bands}), with {about.reach} tokens on "
                 "each side."),
        Sentence("Histograms: {about.about_bins}."),
        Sentence("Intervals: {about.about_intervals}."),
    ),
    "edit": (
        Sentence("{about.settings} settings of neurons' factors were compared on {about.sets.choosing.prompts} "
                 "prompts; the chosen one multiplies neurons {about.chosen.neurons} by {about.chosen.factors}."),
        Sentence("Its effect was estimated on {about.sets.held_out.prompts} prompts that had no part in choosing it."),
        Sentence("What it costs was read on {about.sets.unrelated.prompts} unrelated prompts."),
        Sentence("What it costs was read on {about.sets.unrelated_text.prompts} unrelated texts ({about.units.loss})."),
        Sentence("Effects on answers are in {about.units.log_odds}."),
        Sentence("The edited weights were written to {about.export}."),
    ),
    "errors": (
        Sentence("{about.neurons} neurons ({about.measure}) were compared between wrong and "
                 "right answers to {about.prompts} prompts, {about.wrong} and {about.right} of them, which are told "
                 "apart by {about.labels}: {about.classes}."),
        Sentence("{about.choosing} prompts chose {about.kept} neurons, and {about.held_out} judged them "
                 "({about.sides})."),
        Sentence("False discovery rates (q) are by {about.correction}."),
    ),
    "adversarial": (
        Sentence("{about.tried.wrong} words that are expected to push answers the wrong way, {about.tried.right} that "
                 "are expected to push them the right way and {about.tried.random} random ones were tried along "
                 "{about.direction}."),
        Sentence("Kept were, for the wrong way: {about.words.adversarial}."),
        Sentence("Kept of the random ones: {about.words.random}."),
        Sentence("Kept for the right way: {about.words.opposite}."),
        Sentence("What they do to the answers was measured on {about.held_out} prompts that had no part in choosing "
                 "them."),
    ),
    "polysemanticity": (
        Sentence("{about.neurons} neurons were scored on {about.prompts} prompts, of which {about.held_out} had no "
                 "part in finding their components; the effects of {about.vary} vary."),
        Sentence("Behaviours are told apart by the prompts' field {about.label_field}: {about.labels}."),
        Sentence("Words of neurons were those of the layers {about.with_words}."),
        Sentence("A neuron's rank is the mean of those by {about.mean_rank_of}, as far as each is known."),
    ),
}  # fmt: skip

END = (
    Sentence("The prompts' sha256 is {plan.parts.prompts}."),
    Sentence("Weights were stored in {plan.config.numerics.storage}; products were computed in "
             "{plan.config.numerics.compute} and summed in {plan.config.numerics.accumulate} (numerics version "
             "{plan.config.numerics.version})."),
    Sentence("Draws are keyed by the seed {seed}."),
    Sentence("Computed with causeway {made.causeway}, jax {made.jax}, jaxlib {made.jaxlib} and numpy {made.numpy} "
             "on {made.device}."),
    Sentence("The code is at commit {made.code}."),
    Sentence("The plan's fingerprint is {fingerprint}."),
)  # fmt: skip
