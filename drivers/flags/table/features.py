"""Flags of commands that set features or follow them: sweeps, their replay, graphs and pathways (see the table)."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from causeway.drivers.flags.entry import Entry, choice, choice_or_alone, listed, number, switch, text, whole

GRAPH_FORMATS: tuple[Literal["neuronpedia", "graphml", "parquet"], ...] = ("neuronpedia", "graphml", "parquet")

FEATURES: Mapping[str, Entry] = MappingProxyType({
    # patch_sweep
    "features": text('Table of features: that of `screen`, or JSON lines {"layer", "feature", "value_GROUP"}.'),
    "answers": text("Answers of prompts without their own: a JSON file or text, a list of {text, label, amount}."),
    "per_layer": whole("Features taken of each layer, the strongest (of a screening table by |d|).", 300),
    "value": text("Patch value: mean, mean_active, q10...q90, or GROUP=NUMBER,...", "mean_active"),
    "value_operation": choice("What patches make of the own value f with the value v: v, f + v, v f, -v f, or f cut.",
                               "set", "set", "add", "scale", "inhibit", "at_most", "at_least"),
    "arms": listed("Kinds of arms to run.", "baseline", "noop", "patch", "ablate", "random", "dose"),
    "doses": listed("Steps of the dose ladder, 1 being the value.", "0.25", "0.5", "0.75", "1.5"),
    "random_draws": whole("Random control features for each feature (pathways: 0 for none).", 1, 0),
    "outcome": choice("Answer probabilities, or sampled rollouts.", "exact", "exact", "sampled"),
    "form": choice("How an edit is written: the feature's difference added, or the reconstruction put in place.",
                    "delta", "delta", "replace"),
    "scope": text("Where edits act: last_prompt, decode, last_prompt_and_decode (the study's), all, or "
                   'positions:2:5,-1 (or the name of a role, or "a text").', "last_prompt"),
    "semantics": choice("Whether earlier edits go on acting.", "cached", "cached", "recomputed"),
    "trials": whole("Rollouts of each arm and prompt (sampled).", 30),
    "record_features": text("Record at every token: top:K, all, patched, or a table of features.", ""),
    "record_logits": whole("Record this many largest next-token logits.", 0, 0),
    "unit_buckets": whole("Buckets of a unit, the most that a kill loses.", 8),
    "rebucket": whole("Go on in --workdir, where memory ran out, in batches of fewer rows, from an unfinished prompt.",
                       None),
    "limit_features": whole("Pilot: the first features alone, a plan of its own.", None),
    "plan": choice_or_alone("Only estimate time, memory and disk, from shapes or from what was measured.",
                             "abstract", "measured"),
    "disk_limits": listed("Fractions of the disk to warn at, and to stop at.", "0.8", "0.95"),
    "correction": choice("False discovery rate: bh, or by (any dependence).", "bh", "bh", "by"),
    "halves": switch("Select on half of the prompts, estimate on the others; without, none is causal.", True),
    "alpha": number("Bound on q of a causal feature (tokens: of a word that is listed).", 0.05),
    "tau": number("Least change of a probability of a causal feature (of log odds four times it), or of a validated "
                  "pathway's target.", 0.05),
    "export_study": switch("Also write the original study's result files (sampled)."),
    # replay
    "targets": text("Table of features whose change is asked (default: those that are set)."),
    "sweep": text("Finished sampled workdir of `patch_sweep` with recorded features, read in place of rollouts."),
    "teacher_forced": switch("Also run edits along the tokens of the clean rollouts.", True),
    # attribute and intervene
    "prompt": text("The text of one prompt."),
    "correct": text("The answer whose logit is the target, less that of --incorrect."),
    "incorrect": text("The answer it is compared with."),
    "as_published": switch("Also write what the pipeline's document publishes, uncorrected."),
    "node_threshold": number("Share of the nodes' influence that makes the part shown, above 0, at most 1.", 0.8),
    "edge_threshold": number("Share of the edges' influence in it, above 0, at most 1.", 0.98),
    "target": Entry("texts", [], "Tokens explained, by text after the prompt or as id:73 (default: likely ones)."),
    "unit_prompts": whole("Prompts of a unit, the most that a kill loses.", 4),
    "max_feature_nodes": whole("Features of a graph, by influence.", 8192),
    "all_features": switch("Take all active features instead of --max_feature_nodes."),
    "max_logits": whole("Most next tokens explained without targets.", 10),
    "desired_logit_prob": number("Probability at which no more of them are taken.", 0.95),
    "update_every": whole("Features taken between two rankings.", 512),
    "edge_floor": number("Share of a row below which edges are not stored (default: by size).", None),
    "cut": switch("SAEs of the stream: let it pass through reconstruction and error alone."),
    "max_nodes": whole("Nodes of a behaviour's aggregate.", 200),
    "edges_per_node": whole("Sources of each of them.", 10),
    "graph_format": listed(f"Files of each graph: {', '.join(GRAPH_FORMATS)}; none for none.", "neuronpedia"),
    "heads": whole("Split this many of the strongest by heads: edges of each graph, neurons of each direction.", 0, 0),
    "scan": text("Name by which viewers find the model's features (default: --model)."),
    "edits": listed("Features changed, as layer:position:feature or layer:position:feature=value; layer and position "
                   "may be negative, a position `all` or the name of a role."),
    "graphs": text("--workdir of an attribute run: its graphs give features and predictions."),
    "operation": listed("zero, inhibit[:a] (-a f), set:v, add:v, scale:k, at_most:v, at_least:v, patch (partner's).",
                       "zero"),
    "holds": listed("Kept as in the clean pass: open (nothing), freeze_attention, constrained (direct paths are left); "
                   "or some of STREAM, STREAM.LAYER by any name, features.LAYER.FEATURE (intervene: one of three).",
                   "open"),
    "kinds": listed("Changed together: single, layer, circuit, complement (of --graphs).", "single"),
    "max_features": whole("Features taken of each graph, by effect.", 200),
    "importance": switch("Correlate all features with the logit difference over prompts."),
    "min_active": whole("Prompts a feature must be active on to be tested.", 5),
    "reading": choice("A feature's activation on a prompt, for --importance.", "max", "max", "last"),
    "min_gap": number("Smallest |clean - corrupt| of which a recovery is a share.", 0.1, 0),
    # pathways
    "derivative": choice("total: everything live; direct: attention patterns, norms and MLP outputs as they were.",
                          "total", "total", "direct"),
    "set_to": text("What sources are set to: 0, or GROUP: those with value_GROUP in --features, and set to it.", "0"),
    "candidates": whole("Sources that gradients propose for each target and lower layer.", 25, 1),
    "top": whole("Of these measured, for each target.", 25, 1),
    "select_by": choice("What they are chosen by: |effect| beyond --least_effect, or the documents' |gradient| > 0.1; "
                        "gradients then propose by their size.",
                         "effect", "effect", "original"),
    "least_effect": number("Least |gradient x change| of a pair that is measured (of the pre-activation).", 0.0, 0),
    "random_pairs": whole("Rejected candidates measured too, for each target, for the calibration.", 5, 0),
    "longest_chain": whole("Pairs of a chain, at most.", 3, 2, 4),
    "chains": whole("Chains chosen, those whose weakest pair is strongest by discovery; q is over them.", 200, 0),
    "prototype": text("One feature alone, as L26-1069: does discovery run, and what does it take?"),
})  # fmt: skip
