"""Flags of commands that look at neurons and at directions, from `represent` to `adversarial` (see the table)."""

from collections.abc import Mapping
from types import MappingProxyType

from causeway.drivers.flags.entry import Entry, choice, listed, switch, text, whole

NEURONS: Mapping[str, Entry] = MappingProxyType({
    # neurons and directions
    "neurons": text("Neurons: a table (of `rank`, or JSON lines), its folder, or LAYER:NEURON,... (default: all)."),
    "limit_neurons": whole("The first so many neurons of each layer alone.", None),
    "directions": text("Folder of `direction`: what scores are taken on."),
    # represent
    # direction
    "representations": listed("Folders of `represent`, of one model and stream."),
    "labels": choice("Prompts are labelled by right or wrong answers, or graded by the margin between them.",
                      "correct", "correct", "margin"),
    "label_source": choice("Which labels an answer right: what was written, or the margin's sign (default: written, if "
                            "all prompts with labels were).", None, "generated", "margin"),
    "methods": listed("difference, probe, mass_mean; of --labels=margin covariance, ridge (default: all); or none."),
    "fit_split": text("Split of the prompts that are fitted on, where there are several splits.", "train"),
    "judge_split": text("Split of the prompts that are judged on.", "test"),
    "token_directions": Entry("texts", [], "Tokens whose unembedding columns are directions too, by text or as id:73."),
    "answers_direction": switch("Also the mean difference of the columns of right and wrong answers."),
    # rank
    "keep_layers": whole("Critical layers, by what ablating their MLP changes.", 6),
    "criteria": listed("Neurons are ranked by the mean of their ranks by these: mean_abs, variance, saliency (over all "
                       "tokens; ..._last: the last), direct_effect, direct_effect_abs.",
                       "mean_abs", "variance", "direct_effect"),
    "attention": switch("Ablate what each layer's attention writes too."),
    # second_order
    "orders": whole("Most attentions passed: 1 is the second order, more show how effects fall off.", 1),
    # components
    "largest": whole("Largest effects of a neuron: the smallest is its threshold, most have its component's sign.",
                     100, 1),
    "export_npy": text("Folder for the original's .npy files: effects [prompts, neurons, D], pca, norm, direction."),
    # decompose
    "components": text("Folder of `components`: the directions that are described, or the neurons ablated."),
    "held_components": text("The same made from other prompts, to see whether the words hold there."),
    "lexicon": text("tokens, maths (curated words), data (frequent words of --data), or a file, one a line.", "tokens"),
    "word_vectors": choice("What a word stands for: the mean of its tokens' unembedding columns, the first one's, or "
                            "the state after its definition.", "mean", "mean", "first", "definitions"),
    "definition": text("The prompt of --word_vectors=definitions, with WORD in the word's place.", "WORD means"),
    "min_count": whole("Texts that a word is in, at least (of --data for --lexicon=data; tokens: of both arms).", 5),
    "atoms": whole("Most texts that a neuron is described by.", 32),
    "null_draws": whole("Reflected lexicons that a neuron's cosine is compared with; 0: none, and no p.", 39, 0),
    # ablate
    "decompositions": text("Folder of `decompose`: the words of neurons (ablate: components as these have them, too)."),
    "live": switch("Also set the neurons to their means in the model itself.", True),
    # edit
    "factors": listed("What neurons' activations are multiplied by, each in turn.", "0", "0.5", "1.5", "2"),
    "together": listed("How many of the first neurons are scaled together (default: 2, 4, 8, ... and all)."),
    "sign_by": text("Column of --neurons whose sign says what is amplified (above 0) and what suppressed (below)."),
    "unrelated": listed("Files of prompts of other tasks, with answers of their own: what the edit costs there."),
    "unrelated_data": listed("Text files, or `tasks`: what the edit costs there, as loss of the next token."),
    "export": text("Folder that the chosen edit's weights are written to, as a Hugging Face model."),
    # polysemanticity, errors, adversarial
    "measure": choice("What a neuron is judged by on a prompt: its activation, or its score on a direction, direct or "
                       "of second order.", "activation", "activation", "direct", "second_order"),
    "scores": text("Finished workdir of `second_order` on the same prompts (default: scores are computed)."),
    "along": text("Which direction, by name, where there are several."),
    "examples": whole("Prompts shown of each neuron and class of answers.", 5, 0),
    "words": text("In place of neurons' words some of one's own: a,b,... or a file, one a line, or JSON lines of text "
                  "and weight (below 0: expected to push the wrong way)."),
    "insert": text("How a word is put into a prompt (default: '{word} ', unless --slots are given)."),
    "at": text("Field before whose value in the text it is put (default: at the beginning)."),
    "slots": listed("Fields whose values in the text are replaced by words that are values of them."),
    "num_words": whole("Words tried, of those expected to push each way.", 20),
    "per_template": whole("Prompts made of a template (a line of --prompts with `slots`), at most.", 64),
})  # fmt: skip
