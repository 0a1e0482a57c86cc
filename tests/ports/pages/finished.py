"""Small results of every command that follows a study's features or neurons, written by hand as the commands do.

Texts of people and models are hostile. With `rows=0` tables are empty and nothing was found.
"""

import json

import networkx as nx
import pyarrow as pa
import pyarrow.parquet as pq

BAD = "</script><script>alert(1)</script>"
ARM, GROUP, WORD = "patch:a.b[0]", 'safe "Q\'s"', " שלום"
CI = {"low": -0.5, "high": 0.75, "p": 0.01, "q": 0.02}


def write(folder, name, rows, columns):
    """Rows as a table; of none, one with the columns of the row that is given."""
    folder.mkdir(parents=True, exist_ok=True)
    table = pa.Table.from_pylist(rows or [columns])
    pq.write_table(table.slice(0, len(rows)), folder / name)


def about(folder, name, content):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(json.dumps(content))


def lines(folder, name, rows):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def pathways(folder, rows=3):
    row = {
        "source_layer": 0, "source_feature": 1, "target_layer": 2, "target_feature": 5, "stratum": "selected",
        "predicted": -0.5, "effect": -0.75, **CI, "prompts": 17, "source_change": -1.0, "null_high": 0.25,
        "validated": True,
    }  # fmt: skip
    made = [{**row, "source_feature": n, "target_layer": 1 + n % 2, "validated": n != 1} for n in range(rows)]
    chain = {"path": "L0-1 -> L1-2 -> L2-5", "length": 2, "total": -0.5, "mediated": -0.25, **CI, "share": 0.5,
             "share_low": 0.25, "share_high": 0.75, "confirmed": True}  # fmt: skip
    write(folder, "pathways.parquet", made, row)
    write(folder, "chains.parquet", [chain][:rows], chain)
    count = {"pairs": rows, "tested": rows, "validated": max(0, rows - 1), "cannot_tell": 0}
    fit = {"slope": 1.5, "slope_low": 1.0, "slope_high": 2.0, "spearman": 0.9, "spearman_low": 0.5,
           "spearman_high": 1.0, "sign": 1.0} if rows else {"slope": None}  # fmt: skip
    about(folder, "pathways.json", {"set_to": "0", "prompts": {"choosing": 17, "estimating": 17}, "counts": count,
                                    "calibration": {"all": fit}, "chains": {"chosen": 1}})  # fmt: skip


def replay(folder, rows=2):
    row = {"source_layer": 0, "source_feature": 1, "target_layer": 2, "target_feature": 5, "route": "downstream",
           "arm": ARM, "reference": "baseline", "step": "last_prompt", "measure": "free", "delta": 0.5, **CI,
           "replicated": True, "exceeds_null": True, "is_pathway": True}  # fmt: skip
    made = [{**row, "source_feature": n, "measure": measure, "delta": 0.5 - n, "is_pathway": n == 0}
            for n in range(rows) for measure in ("free", "teacher_forced")]  # fmt: skip
    source = {"layer": 0, "feature": 1, "arm": ARM, "value_before": 1.0, "value_set": 2.0, "parted": 0.25,
              "first_difference": 1.5, "length_change": 0.5, **CI}  # fmt: skip
    logit = {"layer": 0, "feature": 1, "arm": ARM, "text": BAD, "change": 0.5, **CI, "prompts": 4}
    write(folder, "replay_pathways.parquet", made, row)
    write(folder, "replay_sources.parquet", [source][:rows], source)
    write(folder, "replay_logits.parquet", [logit][:rows], logit)
    family = {"route": "downstream", "measure": "free", "step": "last_prompt", "reference": "baseline", "pairs": rows,
              "tests": rows, "pathways": min(rows, 1), "cannot_tell": 0}  # fmt: skip
    both = {"pairs": rows, "slope": 1.0, "same_sign": 1.0} if rows else {"pairs": 0, "slope": None, "same_sign": None}
    about(folder, "replay.json", {"prompts": {GROUP: 12, "b": 12}, "trials": 2, "sources": 1, "families": [family],
                                  "free_against_teacher_forced": both, "rollouts_that_part": None})  # fmt: skip


def tokens(folder, rows=3):
    row = {"layer": 0, "feature": 1, "context": GROUP, "contrast": f"{ARM} - baseline", "unit": "token", "text": BAD,
           "direction": "adds", "log_odds": 1.5, **CI, "z": 2.0, "interval_excludes_0": True, "reference_count": 1,
           "patched_count": 7}  # fmt: skip
    texts = (BAD, WORD, " x" * 300)
    made = [{**row, "text": text, "direction": "removes" if n else "adds", "log_odds": 1.5 - 2 * n}
            for n, text in enumerate(texts[:rows])]  # fmt: skip
    outcome = {"layer": 0, "feature": 1, "context": GROUP, "contrast": f"{ARM} - baseline", "parser": "recorded",
               "outcome": "bet", "reference": 0.5, "patched": 0.75, "effect": 0.25, **CI}  # fmt: skip
    write(folder, "associations.parquet", made, row)
    write(folder, "outcomes.parquet", [outcome, {**outcome, "outcome": "length"}][:rows], outcome)
    about(folder, "tokens.json", {"alpha": 0.05, "responses": 12, "comparisons": 1, "features": 1,
                                  "contrasts": [f"{ARM} - baseline"]})  # fmt: skip


def select(folder, rows=2):
    row = {"layer": 0, "feature": 1, "effect": 0.5, **CI, "outcome": BAD, "contrast": f"{ARM} - noop",
           "is_causal": True, "cohen_d": None, "rank": 1}  # fmt: skip
    made = [{**row, "feature": n, "is_causal": (True, None)[n % 2]} for n in range(rows)]
    write(folder, "causal_features.parquet", made, {**row, "cohen_d": 1.0})
    about(folder, "select.json", {"rank_by": "effect", "per_layer": 3, "selected": rows, "candidates": 9, "prompts": 4,
                                  "prompts_each": 2})  # fmt: skip


def audit(folder, rows=1):
    readable = {"context": GROUP, "arm": ARM, "trials": 12, "valid": 0.75, "difference": None, **CI}
    chance = {"outcome": BAD, "baseline_rate": 0.5, "rate": 0.05, "shift": 0.0, "rate_under_shift": 0.05}
    rule = {"expected": 0.5, "tested": 3, "most_by_chance": 2, "declared": 0, "contexts": {GROUP: chance}}
    told = {
        "validated": bool(rows), "failures": [] if rows else [BAD], "warnings": [BAD], "files": ["effects.parquet"],
        "features": rows, "causal": 0, "undecided": 0, "features_by_layer": {"0": 1} if rows else {},
        "readability": [readable][:rows], "calibration": rule if rows else None, "conflicting": [[0, 1]],
    }  # fmt: skip
    about(folder, "data_validation.json", told)


def integrate(folder, rows=2):
    effect = {"effect": 0.5, **CI, "outcome": BAD, "contrast": "patch - noop", "found": True}
    text = {"text": WORD, "log_odds": 1.5}
    texts = {f"{unit}s": {"adds": [text], "removes": [{"text": BAD, "log_odds": -1.0}]}
             for unit in ("token", "word", "word_group")} | {"found": 2}  # fmt: skip
    story = {"feature": "L0-0", "layer": 0, "stages": [], "cohen_d": None, "effect": effect, "upstream": None,
             "downstream": {"found": 1, "strongest": [{"feature": "L1-1", "drive": 0.5}]}, "replay": None,
             "texts": texts, "behaviours": None, "chains": [], "evidence": ["effect", "texts"]}  # fmt: skip
    other = {**story, "feature": "L1-1", "layer": 1, "effect": None, "downstream": None, "texts": None, "evidence": []}
    stories = [story, other][:rows]
    graph = nx.DiGraph()
    graph.add_edge("L0-0", "L1-1", kind="pathway", sign=1, effect=0.5)
    folder.mkdir(parents=True)
    nx.write_graphml(graph, folder / "integrated.graphml")
    cluster = {"name": "L0-c1", "features": ["L0-0"], "similarity": 1.0, "above_chance": False, "label": BAD}
    about(folder, "clusters.json", {"0": {"clusters": [cluster][:rows]}})
    write(folder, "features.parquet", [{"name": one["feature"], "evidence": 1} for one in stories],
          {"name": "", "evidence": 0})  # fmt: skip
    paths = {"tested": 3, "found": 1, "replicated": 0}
    told = {"alpha": 0.05, "features": rows, "stages": ["select"], "missing": ["tokens"], "found": {"effect": rows},
            "pathways": paths, "clusters": rows, "clusters_above_chance": 0}  # fmt: skip
    about(folder, "integrated.json", {"summary": told, "chains": [], "features": stories})


CHAINED = {one.__name__: one for one in (pathways, replay, tokens, select, audit, integrate)}
