"""Methods paragraphs say what plans and summaries record, all of it that a template asks for, and nothing else."""

import dataclasses
import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest

from causeway.drivers.main import QUESTIONS
from causeway.ports.pages.methods import as_markdown, paragraph
from causeway.ports.pages.methods.facts import facts_of
from causeway.ports.pages.methods.templates import BEGINNING, END, TEMPLATES
from causeway.ports.pages.workdir import KINDS, Result, find_results

spec = importlib.util.spec_from_file_location("swept", Path(__file__).with_name("swept.py"))
swept = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = swept
spec.loader.exec_module(swept)


@pytest.fixture(scope="module")
def sweep(tmp_path_factory):
    (result,) = find_results(swept.write_sweep(tmp_path_factory.mktemp("methods") / "exact"))
    return result


def test_a_sweeps_paragraph_agrees_with_its_plan_and_summary(sweep):
    said, plan, about = paragraph(sweep), sweep.plan, sweep.about
    assert f"sha256 of its weights: {plan['parts']['weights'][:16]}" in said
    assert f"fingerprint is {plan['fingerprint'][:16]}" in said
    assert f"jax {plan['recorded']['jax']}," in said
    assert "Outcomes are exact probabilities" in said
    assert "By group, prompts are 20 risky, 20 safe." in said
    rule = about["reading"]["settings"]["rule"]
    assert f"q is below {rule['alpha']}," in said
    assert "are by Benjamini and Hochberg" in said
    assert about["outcomes"]["p_bet"]["strongest"][0]["interval"] in said
    assert "One half of the prompts decided" in said
    assert "The unit of analysis is the prompt." in said
    assert "unfinished" not in said


def test_only_what_is_recorded_is_said(sweep):
    """Every number of a paragraph is that of a fact, and a field that is gone takes its sentence along."""
    recorded = " ".join(facts_of(sweep).values())
    written = " ".join(one.text for one in (*BEGINNING, *TEMPLATES["patch_sweep"], *END))
    for number in re.findall(r"\d[\w.]*\w|\d", paragraph(sweep)):
        assert number in recorded or number in written, number
    less = {name: value for name, value in sweep.about.items() if name != "reading"}
    said = paragraph(dataclasses.replace(sweep, about=less))
    assert "False discovery" not in said
    assert "causal" not in said
    assert "Outcomes are exact" in said


def test_sampled_outcomes_name_their_draws(sweep):
    settings = {"outcome": "sampled", "trials": 8, "parser": "answers", "seed": 5,
                "sampling": {"temperature": 0.7, "top_k": 0, "top_p": 1.0}}  # fmt: skip
    plan = {**sweep.plan, "config": {"settings": settings, "prompts": 48, "features": 12}}
    said = paragraph(dataclasses.replace(sweep, plan=plan))
    assert "8 rollouts a prompt and arm, at temperature 0.7, top k 0, top p 1, read by the parser answers" in said
    assert "Draws are keyed by the seed 5." in said
    assert "exact probabilities" not in said


def test_templates_are_of_commands_and_an_empty_result_says_nothing():
    assert TEMPLATES.keys() <= {kind.driver for kind in KINDS}
    for driver in ("study", *TEMPLATES):
        assert paragraph(Result(driver, Path("nowhere"), "")) == ""
    assert as_markdown([Result("screen", Path("nowhere"), "")], QUESTIONS) == "# Methods\n"


def test_a_baseline_names_its_behaviours_and_an_unfinished_sweep_says_so(tmp_path):
    entry = {"prompts": 6, "groups": 3, "min_score_diff": 2.0, "success_threshold": 0.8}
    (tmp_path / "baseline_metrics_test.json").write_text(json.dumps({"behaviours": {"agreement": entry}, "model": "m"}))
    swept.write_plan(tmp_path / "half", done=1)
    text = as_markdown(find_results(tmp_path), QUESTIONS)
    assert "agreement, test (6 prompts in 3 groups, margin 2.0 nats a token, threshold 0.8)" in text
    assert "unfinished: 1 of 4 units" in text
    assert text.count("\n## ") == 2


def test_folders_of_many_files_name_each(tmp_path):
    (tmp_path / "p").mkdir()
    (tmp_path / "p" / "a_train.jsonl").write_text('{"prompt": "x"}\n{"prompt": "y"}\n')
    one = {"behaviour": "a", "split": "test", "prompts": 6, "samples": 30, "positions": "last_5", "stream": "mlp_in"}
    (tmp_path / "f").mkdir()
    for split in ("test", "train"):
        (tmp_path / "f" / f"a_{split}_summary.json").write_text(json.dumps(one | {"split": split}))
    (tmp_path / "f" / "a_test_samples.npy").write_bytes(b"")
    read, made = find_results(tmp_path)
    assert "read on a, test (6 prompts, 30 tokens at last_5, stream mlp_in); a, train (6 prompts" in paragraph(read)
    assert "a_train.jsonl (2 prompts, sha256 " in paragraph(made)


EDIT = {
    "settings": 4, "chosen": {"neurons": ["2:10", "1:5"], "factors": [2.0, 0.0]}, "units": {"log_odds": "nats"},
    "sets": {"choosing": {"prompts": 24}, "held_out": {"prompts": 12}, "unrelated": {"prompts": 7}}, "export": None,
}  # fmt: skip
ERRORS = {
    "neurons": 64, "measure": "activation", "directions": "answers", "prompts": 36, "wrong": 17, "right": 19,
    "labels": "margin", "classes": ["low", "high"], "sides": "fitted on train, judged on test", "choosing": 24,
    "kept": 20, "held_out": 12, "correction": "bh",
}  # fmt: skip
WORDS = {
    "tried": {"wrong": 4, "right": 0, "random": 5}, "direction": "answers", "held_out": 12,
    "words": {"adversarial": ["here", "in"], "random": ["x"]},
}  # fmt: skip
NEURONS = {
    "neurons": 128, "prompts": 36, "held_out": 12, "vary": 120, "label_field": "behaviour", "labels": ["a"],
    "with_words": [], "mean_rank_of": ["directions", "heads"],
}  # fmt: skip
CONTEXTS = {
    "tokens": 846, "texts": 64, "data": ["tasks"], "corpus_fingerprint": "f8", "length": 32, "first_position": 1,
    "features": 4096, "stream": "resid_post", "dead": 1072, "top": 10, "each": 3, "bands": 5, "about_bands": "halves",
    "reach": 7, "about_bins": "20", "about_intervals": "95 %",
}  # fmt: skip


@pytest.mark.parametrize(
    ("driver", "about", "said", "unsaid"),
    [
        ("edit", EDIT, ["multiplies neurons 2:10, 1:5 by 2, 0.", "on 12 prompts", "7 unrelated"], ["texts", "written"]),
        ("errors", ERRORS, ["17 and 19 of them", "margin: low, high.", "24 prompts chose 20 neurons", "Hochberg"], []),
        ("adversarial", WORDS, ["4 words that", "0 that are", "5 random", "wrong way: here, in.", "12 prompts"],
         ["Kept for the right"]),
        ("polysemanticity", NEURONS, ["128 neurons", "36 prompts, of which 12", "directions, heads"], ["Words of"]),
        ("contexts", CONTEXTS, ["846 tokens of 64 texts", "of 4096 features", "10 contexts", "with 7 tokens"], []),
    ],
)  # fmt: skip
def test_what_summaries_of_analyses_record_is_said_and_the_rest_is_not(driver, about, said, unsaid):
    text = paragraph(Result(driver, Path("nowhere"), "", about=about))
    assert [part for part in said if part.lower() not in text.lower()] == []
    assert [part for part in unsaid if part in text] == []
    assert "{" not in text
