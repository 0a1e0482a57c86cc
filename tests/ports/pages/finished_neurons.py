"""Which neurons matter, and a trained dictionary: small results, written by hand as commands do, with hostile texts.

With `rows=0` tables are empty and nothing was found.
"""

import importlib.util
from pathlib import Path

spec = importlib.util.spec_from_file_location("finished_files", Path(__file__).parent / "finished.py")
files = importlib.util.module_from_spec(spec)
spec.loader.exec_module(files)
BAD, CI, about, lines, write = files.BAD, files.CI, files.about, files.lines, files.write
NEURON = {"layer": 1, "neuron": 7}
MODEL = {"model": "bundled:tiny", "model_fingerprint": "abc"}


def represent(folder, rows=3):
    row = {"prompt": BAD, "correct_answer": "1", "incorrect_answer": "2", "behaviour": BAD, "split": "train"}
    made = [{**row, "margin": (1.5, -0.5, None)[n], "correct": (True, False, None)[n]} for n in range(rows)]
    if made:
        lines(folder, "metadata.jsonl", made)
    told = {"position": "last", "prompts": rows, "right": min(rows, 1), "wrong": min(rows, 1), "unlabelled": rows // 3,
            "label_source": {"margin": rows}}  # fmt: skip
    about(folder, "represent.json", {"width": 8, "stream": "final_norm", "layer": None, "about": told})


def direction(folder, rows=4):
    row = {"id": "a", "side": "judge", "label": 1.0, BAD: 0.5, "b": 1.5}
    made = [{**row, "label": float(n % 2), BAD: 0.5 * n} for n in range(rows)]
    write(folder, "projections.parquet", made, row)
    one = {"auc": 0.75, "auc_low": 0.5, "auc_high": 1.0, "q": 0.02, "auc_fit": 0.8, "accuracy": 0.7}
    counts = {"prompts": 4, "right": 2, "wrong": 2}
    told = {"classes": "labels", "cut": 0.5, "fit": counts, "judge": counts, "base_rate": 0.5,
            "directions": {BAD: one, "b": {}} if rows else {}}  # fmt: skip
    about(folder, "directions.json", {"names": [BAD, "b"], "about": told})


def rank(folder, rows=2):
    layer = {"layer": 1, "stream": "mlp_out", "mode": "mean", "scope": "all", "paths": "total", "effect": -1.5, **CI,
             "accuracy": 0.5, "drop": 0.5, "critical": True}  # fmt: skip
    neuron = {**NEURON, "rank": 1, "direct_effect": 0.5, **CI, "kept": True}
    write(folder, "layers.parquet", [layer, {**layer, "paths": "direct"}][:rows], layer)
    write(folder, "neurons.parquet", [neuron][:rows], neuron)
    about(folder, "rank.json", {"critical_layers": [{"layer": 1}], "rule": "the largest change",
                                "layers": [0, 1], "keep": 1, "choosing_prompts": 8, "estimating_prompts": 4,
                                "accuracy": None})  # fmt: skip


def second_order(folder, rows=2):
    neuron = {**NEURON, "direction": BAD, "effect": -0.5, **CI, "mean_abs": 0.5, "deviation": 0.25, "direct": 0.0}
    layer = {"layer": 1, "order": 1, "direction": BAD, "effect": 0.5, **CI, "share": 1.0, "mass": 2.0}
    head = {**NEURON, "direction": BAD, "head_layer": 2, "head": 0, "effect": 0.5, **CI}
    made = [neuron, {**neuron, "neuron": 8, "q": None, "low": None, "high": None}]
    write(folder, "neurons.parquet", made[:rows], neuron)
    write(folder, "layers.parquet", [layer][:rows], layer)
    write(folder, "heads.parquet", [head][:rows], head)
    orders = [{"order": n, "mass": 2.0 - n, "centred_mass": 1.0} for n in range(max(rows, 1))]
    found = {"mean": 0.5, "low": 0.25, "high": None, "orders": orders, "concentration": {"layers": [1]}}
    about(folder, "plan.json", {"name": "second_order"})
    about(folder, "second_order.json", {**MODEL, "prompts": 4, "directions": {BAD: found}})


def components(folder, rows=2):
    neuron = {**NEURON, "variance": 0.5, "explained": 0.75, "explained_held_out": 0.5, "random_direction": 0.25,
              "single_head": None}  # fmt: skip
    write(folder, "neurons.parquet", [neuron] * rows, {**neuron, "single_head": 1.0})
    medians = {"explained": 0.75, "explained_held_out": 0.5 if rows else None, "random_direction": 0.25}
    layer = {"layer": 1, "neurons": 2, "vary": rows, "medians": medians}
    about(folder, "plan.json", {"name": "components"})
    about(folder, "components.json", {**MODEL, "neurons": 2, "prompts": 4, "chosen": {"held_out": [0]},
                                      "by_layer": [layer]})  # fmt: skip


def decompose(folder, rows=2):
    neuron = {**NEURON, "words": f"{BAD}, -b", "cosine": 0.75, "null_cosine": 0.5, "gain": 0.25, "q": 0.02,
              "within": 1.0, "held_cosine": float("nan")}  # fmt: skip
    write(folder, "neurons.parquet", [neuron, {**neuron, "neuron": 8, "q": 0.5}][:rows], neuron)
    layer = {"layer": 1, "mean_cosine_by_atoms": [0.5, 0.75][:rows], "mean_null_cosine_by_atoms": [0.25, 0.5][:rows]}
    about(folder, "decompose.json", {**MODEL, "layers": [layer], "texts": 9, "kind": "tokens", "atoms": 2,
                                     "null_draws": 9})  # fmt: skip


def ablate(folder, rows=2):
    row = {"place": "output", "substitution": "rank_1", "outcome": "accuracy", "prompts": 4, "clean": 1.0,
           "value": 0.5, "effect": -0.5, **CI}  # fmt: skip
    write(folder, "ablations.parquet", [row, {**row, "place": "live"}][:rows], row)
    one = {"name": "accuracy drop", "value": 0.5, "low": None, "high": None, "bound": 0.01, "below": True, "note": BAD,
           "verdict": "not met"}  # fmt: skip
    free = {**one, "bound": None, "verdict": ""}
    about(folder, "ablate.json", {**MODEL, "neurons": 2, "prompts": 4, "chosen_prompts": 4,
                                  "criteria": [one, free] if rows else [free]})  # fmt: skip


def errors(folder, rows=1):
    neuron = {**NEURON, "auc": 0.25, "auc_held_out": 0.5, "auc_low": 0.25, "auc_high": float("nan"), "verdict": "x"}
    field = {"field": BAD, "value": BAD, "prompts": 2, "wrong": 1, "error_rate": 0.5, "low": 0.0, "high": 1.0,
             "others": 0.25, "q": 1.0}  # fmt: skip
    write(folder, "errors.parquet", [neuron][:rows], neuron)
    write(folder, "groups.parquet", [field, {**field, "value": "b"}][: 2 * rows], field)
    lines(folder, "examples.jsonl", [{**NEURON, "class": "wrong", "value": 1.5, "prompt": BAD}][:rows])
    about(folder, "errors.json", {"prompts": 4, "right": 2, "wrong": 2, "labels": "correct", "cut": None,
                                  "classes": ["wrong", "right"], "choosing": 2, "held_out": 2, "neurons": 9,
                                  "kept": rows, "confirmed": 0})  # fmt: skip


def edit(folder, rows=2):
    row = {"setting": 0, "kind": "alone", "neurons": ["1:7"], "factors": [2.0], "set": "held_out",
           "outcome": "log_odds", "effect": 0.5, **CI, "prompts": 4, "accuracy_before": 0.5,
           "accuracy_after": 1.0}  # fmt: skip
    other = {**row, "set": "unrelated_text", "outcome": "loss", "low": None, "high": None, "accuracy_before": None}
    write(folder, "edits.parquet", [row, other][: max(rows, 1)], row)
    chosen = {"setting": 0, "neurons": ["1:7"], "factors": [2.0]}
    about(folder, "edit.json", {"chosen": chosen, "settings": 1, "sets": {"held_out": row}, "verdict": [BAD]})


def polysemanticity(folder, rows=2):
    nan = float("nan")
    neuron = {**NEURON, "mean_rank": 0.5, "directions": 1.5, "directions_null": 2.0, "heads": 2.0, "behaviours": nan,
              "texts": BAD}  # fmt: skip
    write(folder, "polysemanticity.parquet", [neuron, {**neuron, "heads": nan}][:rows], neuron)
    medians = {"directions": 1.5, "directions_null": 2.0, "heads": None} if rows else {"directions": None}
    about(folder, "polysemanticity.json", {"neurons": rows, "vary": rows, "medians": medians})


def adversarial(folder, rows=2):
    word = {"word": BAD, "arm": "adversarial", "push": -0.5, "margin_change": -0.5, **CI, "prompts": 4}
    lost = {**word, "arm": None, "margin_change": None, "low": None, "high": None, "q": None, "p": None}
    write(folder, "words.parquet", [word, lost][:rows], word)
    lines(folder, "adversarial.jsonl", [{"prompt": BAD, "arm": "adversarial", "margin": -1.0, "correct": False}][:rows])
    arm = {"arm": "clean", "error_rate": 0.0, "low": 0.0, "high": 0.1}
    about(folder, "adversarial.json", {"words": {"adversarial": [BAD][:rows]}, "held_out": 4, "confirmed": False,
                                       "arms": [arm, {**arm, "arm": "random"}][:rows], "verdict": [BAD]})  # fmt: skip


def train_dictionary(folder, rows=1):
    layer = {"layer": 1, "tokens": 64, "features": 8, "dead": 1, "l0": 2.5, "explained_variance": 0.75,
             "relative_error": 0.5, "loss_recovered": None}  # fmt: skip
    about(folder, "quality.json", {"layers": [layer, {**layer, "layer": 2}][: rows + 1]})


WRITERS = (represent, direction, rank, second_order, components, decompose, ablate, errors, edit, polysemanticity,
           adversarial, train_dictionary)  # fmt: skip
ABOUT_NEURONS = {one.__name__: one for one in WRITERS}
