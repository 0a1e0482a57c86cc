"""All flags of all commands: a name means one thing, with one type, one help text and, but for a few, one default.

A driver takes what it needs and reads the values from what it gets:

    FLAGS = take("prompts out overwrite seed", batch_rows=16)
    FLAGS.seed

A name with a value is taken with that default instead of the table's. `--workdir` belongs to runs that resume: the same
command goes on where it stopped. `--out` belongs to results that are written at once, whole. Nothing heavy is imported.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from absl import flags

from causeway.drivers.flags.entry import DEFINE, Entry, choice, choice_or_alone, listed, number, switch, text, whole
from causeway.drivers.flags.table.bench import BENCH
from causeway.drivers.flags.table.features import FEATURES
from causeway.drivers.flags.table.neurons import NEURONS

# Flags that are defined through this module belong to the driver that takes them.
flags.disclaim_key_flags()

# In place of a file of texts: texts of the bundled model's synthetic tasks, which it knows.
TASKS = "tasks"
# The largest seed: draws are keyed by 32 bits of it (`engine.scalars.seed`, which flags do not wait for).
MOST_SEED = 2**32 - 1
# Of every command whose run is shared out among processes by its --workdir.
PROCESSES = "worker coordinator processes process ray"
DTYPES = ("float32", "bfloat16", "float16")


TABLE: MappingProxyType[str, Entry] = MappingProxyType({
    # The model, its dictionaries, and where they compute.
    "model": text("A hub id (org/name[@revision]), folder, GGUF file, package:NAME, bundled.", "bundled:tiny"),
    "dictionaries": text("SAEs or transcoders: a hub id, a folder, or bundled:NAME (default: a bundled model's own)."),
    "layers": listed("Layers whose dictionaries are loaded or made, or whose neurons are meant, as 0,1,-1 (all)."),
    "gating": choice("How Llama Scope's threshold is read (default: inferred).",
                      None, "inferred", "saelens_compat", "study"),
    "storage": choice("Dtype of weights in memory (int8: a model's alone), or on disk where some are written.",
                       "float32", *DTYPES, "int8"),
    "compute": choice("Dtype of products and of the stream.", "float32", *DTYPES),
    "bos": choice("Put the begin-of-sequence token before a text; auto: as the tokenizer does.",
                   "auto", "auto", "yes", "no"),
    "devices": whole("Local devices to use (default: all).", None),
    "mesh": text("Devices of one or all processes, data:2,model:2: rows along data, weights, features along model."),
    "placement": choice("Dictionaries whole on each device, split over --mesh, or layer by layer; auto: what fits.",
                         "auto", "auto", "replicated", "sharded", "streamed"),
    "parallel": choice("How rows are spread over devices.", "shard_map", "shard_map", "pmap"),
    "batch_rows": whole("Rows of a batch, per device; decides the last bits (intervene: default by length).", None),
    # What comes in and where results go.
    "prompts": listed("Files of prompt records (JSON lines), or folders of files BEHAVIOUR_SPLIT.jsonl."),
    "chat": switch("Put each text into the model's chat template, as the user's message (`messages` always are)."),
    "system": text("A system message before each conversation (default: the template's own, if it has one)."),
    "generation_prompt": switch("Go on to where the answer begins; --nogeneration_prompt: end before it.", True),
    "skip_bad": switch("Leave out lines that are malformed and prompts that cannot be used, and tell each."),
    "behaviours": listed("Behaviours taken or made (default: all in --prompts; `prompts --help` lists them)."),
    "splits": listed("Splits taken, such as train,test (default: all in --prompts)."),
    "data": listed(f"Text files (.txt, .json, .jsonl), or `{TASKS}` for texts that the bundled model knows."),
    "field": text("The field that holds the text, where a file of --data holds records.", "text"),
    "out": text("Folder to write, at once and whole."),
    "overwrite": switch("Replace results that are already there."),
    "workdir": text("Folder of a run that resumes: the same command goes on (training: OUT.work; readers: none)."),
    "worker": text("i/n: one of n processes that compute one --workdir, each every n-th unit; i from 0."),
    "coordinator": text("HOST:PORT of process 0 of jax.distributed, or auto: as SLURM, Open MPI, Kubernetes say."),
    "ray": text("Share the run out among actors of Ray: local, auto (a cluster that runs) or its address."),
    "processes": whole("How many processes share the run (default: as the cluster says; of Ray one a GPU).", None, 1),
    "process": whole("Which of them this one is, from 0 (default: as the cluster says).", None, 0),
    "repair": switch("Check all data in --workdir and compute damaged units again."),
    "seed": whole("Key of every draw.", 0, 0, MOST_SEED),
    "held_out": number("Share kept apart, on which what the others choose (or train) is measured.", 0.0),
    "json": switch("Print everything as JSON."),
    "shared": listed("Flags given to several commands at once, which are not refused where they have no effect."),
    "show_config": switch("Print all values, given and default, as a file for --flagfile, and run nothing."),
    "traceback": switch("Show where in the code an error was raised, not its line alone."),
    "length": whole("Tokens a row of text, cut to the model's context.", 128, 2),
    # Texts that a model writes.
    "generate": switch("Also let the model write on, --max_new_tokens at most."),
    "max_new_tokens": whole("Most tokens of a text that the model writes.", 16),
    "temperature": number("Sampling temperature; 0 takes the most probable token.", 0.7, 0),
    "top_k": whole("Draw from the k most probable tokens; 0 from all.", 0, 0),
    "top_p": number("Draw from the most probable tokens of this mass.", 1.0),
    "stop_tokens": text(
        "Ends of a text beside the model's own stop tokens: ids (13,198), a text, or a JSON list of both such as "
        r"""'["\n\n", 13]'. Empty: none, not even the model's own."""),
    "parser": choice("How answers are read (default: answers; of study wording, and of tokens, three_state).",
                      None, "answers", "three_state", "v1", "v2", "v3"),
    # prompts
    "templates": choice("Lists and phrasings: enlarged, or as the document publishes them.",
                         "enlarged", "enlarged", "as_published"),
    "train": whole("Training items (default: 80; synthetic sets 5000; own: all there are).", None, 0),
    "test": whole("Test items (default: 20; synthetic sets 500; own: a fifth of all).", None, 0),
    "source": text("JSON lines that the one behaviour of --behaviours is made from."),
    "test_source": text("JSON lines of the test split (default: --source is divided)."),
    "name": text("Name of a behaviour that comes from --source (default: as it is)."),
    # evaluate
    "min_score_diff": number("Margin of a success, nats a token (default: the behaviour's own).", None),
    "success_threshold": number("Share of margin successes to pass (default: the behaviour's).", None, 0.0, 1.0),
    "by": listed("Fields whose values get rates of their own: group, number, template, ...", "group"),
    # features, virtual_weights, inspect
    "positions": text('Tokens of a prompt: last_N, all, or places: 2:5,-1,user.last,"a text".', "last_5"),
    "include_first": switch("Position 0 too, whose stream is unlike all others."),
    "keep": whole("Strongest kept: features a token, sources, neurons a layer (errors: all), words, contexts.", 50),
    "full": switch("Write all values too: tokens x features x 4 bytes a layer; of represent the stream at all tokens."),
    "source_layer": whole("Layer whose features write (negative: from the end).", None, None),
    "target_layer": whole("Layer above it, whose features read.", None, None),
    "weighting": choice("Weights alone, or by how features are active together on --data.",
                         "raw", "raw", "era", "twera"),
    "block": whole("Features of a block; a block's weights are in memory.", 2048),
    "text_rows": whole("Rows of text used, at most.", 64),
    "place_tokens": whole("Tokens of text on which other places are tried; 0 tries none.", 256, 0),
    # contexts
    "bands": whole("Octaves below a feature's maximum, from each of which contexts are drawn.", 5, 1),
    "band_contexts": whole("Contexts drawn from each.", 3),
    "reach": whole("Tokens shown on each side of the strongest.", 10, 0),
    "unit_rows": whole("Rows of text of a unit, the most that a kill loses.", 1024),
    "feature_labels": text("Table of layer, feature and label (and source): Parquet, CSV or JSON lines."),
    "neuronpedia": switch("Also write the features as Neuronpedia's files."),
    # screen, and the slot machine that makes its states
    "groups": listed("The two labels compared, the reference first (default: the two there are; safe,risky of games)."),
    "label_field": text("Field of the label in --prompts.", "group"),
    "strata": listed("Fields within whose values prompts are compared, such as round,balance."),
    "keep_repeats": switch("Compare equal prompts as often as they come, not once."),
    "position": text("Values at the last prompt token, their mean or max over tokens, or at a place: -2, user.last. "
                     "components: or answers, where they part.",
                     "last"),
    "states": whole("Slot-machine states of each group, matched on balance and round.", None, 2),
    "play": whole("Slot-machine games for the model to play.", None),
    "wording": choice("How states are written: briefly, or as in the study.", "tiny", "tiny", "study"),
    "menu": Entry("multi_enum", ["variable"], "Bets offered; given twice, games take turns.",
                  {"enum_values": ["fixed", "variable"]}),
    "play_label": choice("Label played games by their end, or by what happened last.",
                          "outcome", "outcome", "state"),
    "max_rounds": whole("Rounds after which a game is left unfinished.", 20),
    "vary_start": switch("Start each game with $20 to $240; --novary_start: all with the study's $100.", True),
    # audit, select
    "results": text("Folder of an earlier study: its published files, or the --workdir of a finished patch_sweep."),
    "rank_by": choice("What makes a feature strong: |cohen_d|, |effect|, or the end of the effect's interval nearer to "
                       "0; all: every feature is taken.", "cohen_d", "cohen_d", "effect", "interval", "all"),
    "top_total": whole("Features taken in all, the strongest whatever their layer (in place of --per_layer).", None),
    "only_causal": switch("Features declared causal alone; --noonly_causal: others too.", True),
    "verdict": choice("Whose word it is that a feature is causal: our criteria's, or the published study's rule's "
                      "(default: ours of a sweep, the study's of its own files).", None, "ours", "study"),
    "prompts_each": whole("Representative prompts of each feature, the groups in turn.", 4),
    # tokens
    "units": listed("What is counted: token (of --model), word, word_group (bet, bets, betting). Default: all."),
    "reference": choice("Arm that patched ones are compared with (default: noop where there is one).",
                         None, "baseline", "noop"),
    "prior": number("Log odds: mean responses, of the words of all texts, that each arm has more.", 1.0, 0.0),
    "exact_test": choice("Test of words that few responses hold, where arms are independent (fisher).",
                         None, "fisher", "mid_p", "boschloo"),
    "echo": whole("Runs of so many words (twice as many tokens) that repeat the prompt are left out; 0: none.", 5, 0),
    "until_decision": switch("Count words up to the decision alone, as --parser finds it."),
    # train_model, train_dictionary, convert
    "tokenizer": text("Folder with a tokenizer.json; without it a word-level one is made from the texts."),
    "report_every": whole("Steps between lines of progress.", 100),
    "checkpoint_every": whole("Steps between checkpoints.", 500),
    "buffer_mib": whole("Memory for activations, MiB.", 1024),
    "num_texts": whole(f"Number of texts drawn for --data={TASKS}.", 20_000, 10),
    "layout": choice("Rows inside one text each, or all full.", "documents", "documents", "packed"),
    "transcoder": switch("Make transcoders, as do --write_stream, --skip and --cross_layer."),
    "write_stream": text("Stream a transcoder writes (default: mlp_out)."),
    "skip": switch("Transcoders with a linear skip connection."),
    "cross_layer": switch("One transcoder whose features write to all layers above."),
    "stream": text("Stream to read, by any of its names (default: final_norm of represent; of dictionaries resid_post, "
                   "of transcoders mlp_in)."),
    "kind": choice("Activation; topk: SAEs alone; batchtopk: written as jumprelu.",
                   "jumprelu", "jumprelu", "topk", "batchtopk"),
    "num_features": whole("Features a layer (default: 8 for each number of the stream).", None, None),
    "l0": number("jumprelu: active features a token to aim at (default: 32).", None),
    "k": number("topk and batchtopk: active features a token, in the mean for batchtopk (default: 32).", None),
    "l0_coefficient": number("jumprelu: price of an active feature, not a target.", None),
    "steps": whole("Optimiser steps (default: ten passes over the data, 500 at least, 20,000 at most).", None),
    "batch": whole("Tokens a step.", 1024),
    "learning_rate": number("Peak rate of Adam; lower leaves fewer features dead.", 2e-3),
    "format": choice("Files written (default: SAELens 6; circuit-tracer if cross-layer).",
                      None, "saelens", "circuit_tracer"),
    "verify": switch("Compare the model's logits with torch's before the folder is named."),
    "tolerance": number("Largest difference of a logit that --verify accepts.", 1e-3, 0),
    # study
    "only": listed("These stages alone."),
    "from": text("This stage and those after it alone."),
    # integrate
    "select": text("Folder of `select`: the features chosen."),
    "pathways": text("Workdir of `pathways`: which features drive which."),
    "replay": text("Workdir of `replay`: the same in rollouts."),
    "associations": text("Folder of `tokens`: which tokens and words features add and remove."),
    "similarity": number("Least mean similarity, 0 to 1, of features that are joined to a cluster.", 0.5, 0.0, 1.0),
    # report, serve
    "shown_folder": Entry("string", None, "Folder to look at: of any command, or one that holds several.",
                          name="workdir"),
    "graph_file": Entry("string", None, "Or a graph file to look into, of Neuronpedia, circuit-tracer or `attribute`.",
                        name="graph"),
    "page": Entry("string", None, "HTML file to write (default: report.html in --workdir).", name="out"),
    "figures": choice_or_alone("Also write every chart as a picture, to NAME_figures/ (png).", "png", "svg", "png,svg"),
    "compare": listed("Or two folders, A,B: in what their plans differ, and whether they measured the same."),
    "bundle": text("Archive to write too (FILE.zip): page, charts, methods, plans, summaries and tables."),
    "port": whole("Port on 127.0.0.1 (0: any that is free).", 0, 0, 65535),
    **FEATURES, **NEURONS, **BENCH,
})  # fmt: skip

# Names that flags had once, and those that they have now, whichever of them a command knows.
RENAMED: Mapping[str, tuple[str, ...]] = MappingProxyType({
    "rows": ("batch_rows", "text_rows"), "mode": ("form", "holds"), "split": ("splits", "halves"),
    "text": ("data", "wording"), "texts": ("num_texts", "data"), "features": ("num_features", "edits"),
    "top_k": ("keep",), "format": ("graph_format",), "documented": ("as_published",), "prompts": ("states",),
    "start": ("from",),
})  # fmt: skip


def take(names: str, **defaults: Any) -> flags.FlagValues:
    """Define flags of the driver that asks.

    Args:
        names: those taken as they stand in the table, between spaces.
        defaults: further ones, each with the default that it has here.

    Returns:
        All flags; the value of one is the attribute of its name.
    """
    for name in (*names.split(), *defaults):
        entry = TABLE[name]
        define = DEFINE.get(entry.kind) or getattr(flags, f"DEFINE_{entry.kind}")
        define(entry.name or name, default=defaults.get(name, entry.default), help=entry.help, **entry.limits)
    return flags.FLAGS
