"""What inside the model makes it answer as it does? Attribution graphs of one prompt, or of a behaviour's prompts.

One prompt: --prompt="The cat", explained by its most probable next tokens, by --target tokens, or by the difference of
two answers, --correct=" is" --incorrect=" are". Many: --prompts=FILE, JSON lines with prompt, correct_answer and
incorrect_answer (the files of `prompts`; a field `roles` names places to align). Written to --workdir: graphs/,
scores.jsonl, graphs.parquet (every graph whole), and {behaviour}/attribution_graph_{split}.json and .graphml: means
over prompts. The same command resumes.
"""

import json
import sys
from pathlib import Path

from absl import flags
from ml_collections import config_flags

from causeway.drivers.flags import graph_files, model_flags, prompt_flags, text_list_flag
from causeway.drivers.flags.config_values import take_values
from causeway.drivers.flags.flag_values import MOST_SEED, folder
from causeway.drivers.flags.refusals import run_driver

_CONFIG = config_flags.DEFINE_config_file("config", None, "Values of flags, such as configs/circuits_qwen3_4b.py.")
_TARGET = text_list_flag.define(
    "target", "Tokens explained, by text behind the prompt or as id:73 (default: likely ones)."
)
_UNIT = flags.DEFINE_integer("unit_prompts", 4, "Prompts of a unit, what is lost at most when killed.", lower_bound=1)
_BUDGET = flags.DEFINE_integer("max_feature_nodes", 8192, "Features of a graph, by influence.", lower_bound=1)
_ALL = flags.DEFINE_bool("all_features", False, "Take all active features instead of --max_feature_nodes.")
_LOGITS = flags.DEFINE_integer("max_logits", 10, "Most next tokens explained without targets.", lower_bound=1)
_MASS = flags.DEFINE_float("desired_logit_prob", 0.95, "Probability at which no more of them are taken.")
_EVERY = flags.DEFINE_integer("update_every", 512, "Features taken between two rankings.", lower_bound=1)
_ROWS = flags.DEFINE_integer("rows", 32, "Rows of a batch, per device.", lower_bound=1)
_FLOOR = flags.DEFINE_float("edge_floor", None, "Share of a row below which edges are not stored (default: by size).")
_CUT = flags.DEFINE_bool("cut", False, "SAEs of the stream: let it pass through reconstruction and error alone.")
_MAX_NODES = flags.DEFINE_integer("max_nodes", 200, "Nodes of a behaviour's aggregate.", lower_bound=1)
_PER_NODE = flags.DEFINE_integer("edges_per_node", 10, "Sources of each of them.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Seed of which prompts are held out.", 0, MOST_SEED)
_HELD_OUT = flags.DEFINE_float("held_out", 0.0, "Share of prompts whose means and intervals are of what others choose.")
_DOCUMENTED = flags.DEFINE_bool("documented", False, "Also write the circuit pipeline's own, uncorrected aggregate.")


def main(_: list[str]) -> None:
    """Gather prompts, compute their graphs, write them, aggregate."""
    take_values(_CONFIG.value.attribute if _CONFIG.value else {}, "attribute")
    workdir = folder(prompt_flags.WORKDIR)
    _check()
    from causeway.engine.sweep import run

    sweep = _sweep()
    sweep.check_held_out(_HELD_OUT.value if prompt_flags.PROMPTS.value else 0.0)
    if run(sweep, workdir, repair=prompt_flags.REPAIR.value).stopped:
        sys.exit(prompt_flags.STOPPED)
    with prompt_flags.alone(workdir):
        _write_graphs(sweep, workdir)
        for behaviour, split in sweep.groups() if prompt_flags.PROMPTS.value else ():
            _write_aggregate(sweep, workdir, behaviour, split)
    print(f"everything is in {workdir}: graphs/, scores.jsonl, graphs.parquet")


def _check() -> None:
    """What needs no model."""
    prompt_flags.check()
    many, answers = bool(prompt_flags.PROMPTS.value), prompt_flags.CORRECT.value is not None
    if many + answers + bool(_TARGET.value) > 1:
        raise ValueError("--target, --correct: needs one kind of target; lines of --prompts bring their own answers")
    if _DOCUMENTED.value and not many:
        raise ValueError("--documented: is an aggregate over prompts; needs --prompts")
    graph_files.check()


def _sweep():
    from causeway.engine.analyses.attribute.attribution_plan import AttributionPlan
    from causeway.engine.analyses.attribute.graph_sweep import GraphSweep

    plan = AttributionPlan(
        max_feature_nodes=None if _ALL.value else _BUDGET.value, max_logits=_LOGITS.value, cut=_CUT.value,
        desired_logit_prob=_MASS.value, update_every=_EVERY.value, rows=_ROWS.value, edge_floor=_FLOOR.value,
    )  # fmt: skip
    lines, bad = prompt_flags.read()
    model = model_flags.load_model()
    transcoders = model_flags.load_dictionaries(model, transcoders=True)
    prompts = prompt_flags.prompts(model, lines, bad, _TARGET.value)
    return GraphSweep(model, transcoders, prompts, plan, model_flags.parallel(), _UNIT.value)


def _write_graphs(sweep, workdir: Path) -> None:
    from causeway.engine.analyses.intervene import graph_summary
    from causeway.engine.sweep.durable import write_bytes
    from causeway.ports.graphs.graph_slugs import graph_slugs

    records, slugs = [], graph_slugs([prompt.id for prompt in sweep.prompts])
    for slug, (prompt, graph) in zip(slugs, sweep.graphs(workdir), strict=True):
        records.append(graph_files.write(workdir / "graphs", slug, sweep, prompt, graph))
        print(
            "{slug}: graph of {features} of {active} active features, replacement {replacement:.3f}, completeness "
            "{completeness:.3f}; after pruning {kept_features} features, {kept_edges} edges".format(**records[-1])
        )
        if prompt_flags.PROMPT.value:
            print("\n".join(graph_summary.prompt_lines(sweep.model, sweep.transcoders, prompt, graph)))
    write_bytes(workdir / "scores.jsonl", "".join(json.dumps(record) + "\n" for record in records).encode())


def _write_aggregate(sweep, workdir: Path, behaviour: str, split: str) -> None:
    from causeway.engine.analyses.as_published.aggregate import documented_of_group
    from causeway.engine.analyses.attribute.aggregate import AggregateSettings, aggregate
    from causeway.engine.analyses.intervene.graph_summary import aggregate_lines
    from causeway.ports.graphs import aggregate_files

    settings = AggregateSettings(_MAX_NODES.value, _PER_NODE.value, seed=_SEED.value, held_out=_HELD_OUT.value)
    group, about = (behaviour, split), {"model": sweep.model.name, "behaviour": behaviour, "split": split}
    found = aggregate(
        lambda: ((p.roles, graph) for p, graph in sweep.graphs(workdir, group)), settings, sweep.ids_of(group)
    )
    paths = aggregate_files.write_aggregate(workdir / behaviour, split, found, about)
    if _DOCUMENTED.value:
        documented = documented_of_group(sweep, group, _CONFIG.value.documented if _CONFIG.value else {})
        paths += aggregate_files.write_documented(workdir / behaviour, split, documented, about)
    print(f"{behaviour} {split}: mean effects over {found.prompts} prompts, by size; {', '.join(map(str, paths))}")
    print("\n".join(aggregate_lines(found)))


if __name__ == "__main__":
    run_driver(main, sys.argv)
