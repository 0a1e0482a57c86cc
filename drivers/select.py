"""Which features of an earlier study are followed, and on which prompts?

Features come from --results (the published study's files, or a finished workdir of patch_sweep), or from --features
alone (the table of screen, or the study's .npz or .json of significant features); with both, --features gives what the
results lack: Cohen's d and the values that features are set to. Prompts come from --prompts, of a sweep by default from
itself. Written to --out: causal_features.json and causal_features.parquet (an input for --features of later commands),
prompts_sample.json (each feature's prompts), prompts.jsonl (all of them once, an input for --prompts), select.json.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causeway.drivers.flags.flag_values import absent, folder, named, no_effect
from causeway.drivers.flags.left_out import tell
from causeway.drivers.flags.refusals import run_driver
from causeway.drivers.flags.table import take

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from causeway.engine.analyses.select.request import Selected
    from causeway.engine.earlier_results import EarlierResults
    from causeway.engine.prompt_record import PromptRecord

FLAGS = take(
    "results features value rank_by top_total only_causal verdict prompts skip_bad prompts_each seed out overwrite",
    per_layer=50,
)


def main(_: list[str]) -> None:
    """Read, choose, write."""
    out = _checked()
    from causeway.engine.sweep.checksums import written_alone
    from causeway.ports.results.recorded_inputs import earlier_read
    from causeway.ports.results.selection_files import FILES, write_selection

    results = _results()
    chosen = _chosen(results)
    records, own = _prompts(results)
    prompts, how = _sampled(chosen.features, records, own)
    about = {**chosen.about, **how, "results": FLAGS.results, "features": FLAGS.features}
    about |= earlier_read(FLAGS.results, results, FLAGS.features)
    with written_alone(out, FILES):
        write_selection(out, chosen.features, records, prompts, about)
    print("\n".join(_lines(chosen, len({int(i) for each in prompts for i in each}))))
    print(f"everything is in {out}: " + ", ".join(name for name in FILES if (out / name).exists()))


def _checked() -> Path:
    """--out, after the checks that need no file."""
    if not (FLAGS.results or FLAGS.features):
        raise ValueError("--results, --features: got neither; needs an earlier study, a screen's table, or both")
    if not FLAGS.results:
        no_effect("without --results, where nothing is declared", "only_causal", "verdict")
    if not FLAGS.only_causal:
        no_effect("with --noonly_causal", "verdict")
    if not FLAGS.features:
        no_effect("without --features", "value")
    if FLAGS.top_total or FLAGS.rank_by == "all":
        no_effect("with --top_total, or where all are taken", "per_layer")
    if FLAGS.rank_by == "all":
        no_effect("where all are taken", "top_total")
    out = folder("out")
    absent([out / "select.json"])
    return out


def _results() -> EarlierResults | None:
    from causeway.ports.results.study_files import read_earlier

    with named("results"):
        return read_earlier(FLAGS.results) if FLAGS.results else None


def _chosen(results: EarlierResults | None) -> Selected:
    from causeway.engine.analyses.patch_sweep.features import parse_rule
    from causeway.engine.analyses.select.request import select
    from causeway.ports.results.screen_files import read_screen

    with named("features"):
        screen = read_screen(FLAGS.features) if FLAGS.features else None
    with named("results" if FLAGS.results else "features"):
        return select(
            results, screen=screen, rank_by=FLAGS.rank_by, per_layer=FLAGS.per_layer, top_total=FLAGS.top_total,
            only_causal=FLAGS.only_causal, verdict=FLAGS.verdict, value=parse_rule(FLAGS.value),
        )  # fmt: skip


def _prompts(results: EarlierResults | None) -> tuple[list[PromptRecord], list[PromptRecord]]:
    """Prompts to choose from, none where there are none, and those that a sweep numbers."""
    from causeway.ports.prompts.prompt_files import read_prompts

    own: list[PromptRecord] = []
    if results is not None and results.kind == "patch_sweep":
        found, _ = read_prompts([Path(FLAGS.results) / "prompts.jsonl"])
        own = [dataclasses.replace(record, fields={}) for record in found]
    if not FLAGS.prompts:
        if not own:
            no_effect("without --prompts", "prompts_each", "skip_bad", "seed")
        return own, own
    records, bad = read_prompts(FLAGS.prompts, skip_bad=FLAGS.skip_bad)
    tell(bad)
    return records, own


def _sampled(
    features: pa.Table, records: list[PromptRecord], own: list[PromptRecord]
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """Each feature's prompts, and how they were chosen."""
    from causeway.engine.analyses.select.sample import aligned, numbered, representative
    from causeway.engine.earlier_results import feature_names
    from causeway.ports.results.sweep_results import read_activations

    if not records:
        return [], {"prompts": 0}
    names = feature_names(features)
    known = aligned(read_activations(Path(FLAGS.results)), features, numbered(records, own)) if own else None
    ids, groups = ([getattr(record, field) for record in records] for field in ("id", "group"))
    chosen, how = representative(names, ids, groups, FLAGS.prompts_each, known, FLAGS.seed)
    counted = {way: how.count(way) for way in dict.fromkeys(how)}
    return chosen, {"prompts": len(records), "prompts_each": FLAGS.prompts_each, "prompts_by": counted}


def _lines(chosen: Selected, prompts: int) -> list[str]:
    about = chosen.about
    out = [f"{about['selected']} of {about['candidates']} features, by {about['rank_by']}; {prompts} prompts"]
    if about["not_causal"]:
        by = {"study": "by the study's rule", "ours": "by our criteria"}[about["verdict"]]
        out.append(f"not declared causal {by} and left out: {about['not_causal']}")
    if about["without_strength"]:
        out.append(f"without {about['rank_by']} and left out: {about['without_strength']}")
    if about["without_values"]:
        out.append(f"without values to be set to: {len(about['without_values'])} (give the screen's table: --features)")
    return out


if __name__ == "__main__":
    run_driver(main, sys.argv)
