"""`causeway demo` as it is printed in the README: what it says is so, in both halves, and it resumes."""

import json
import re

import numpy as np
import pyarrow.parquet as pq
import pytest

pytestmark = pytest.mark.slow(together="demo")
EFFECT = re.compile(r"exact ([+-]\d\.\d+), rollouts ([+-]\d\.\d+) \[([+-]\d\.\d+), ([+-]\d\.\d+)\]")


@pytest.fixture(scope="module")
def demo(drive, tmp_path_factory):
    """The default demo, twice in one folder; and where."""
    workdir = tmp_path_factory.mktemp("demo") / "here"
    return workdir, drive("demo", (f"--workdir={workdir}",), (f"--workdir={workdir}",))


def test_exact_and_sampled_halves_agree_on_whole_answers(demo):
    workdir, (first, _) = demo
    assert first["status"] == 0, first["err"]
    rows = [tuple(map(float, found)) for found in EFFECT.findall(first["out"])]
    assert len(rows) == 5
    assert all(low <= exact <= high for exact, _, low, high in rows)
    assert "inside the rollouts' interval for 5 of 5\n" in first["out"]
    prompt = json.loads((workdir / "exact" / "prompts.jsonl").read_text().splitlines()[0])
    # Stopping, and twenty amounts to bet: " stop." has two tokens, " bet $5." four.
    assert sorted(map(len, prompt["answer_tokens"]))[:2] == [2, 4]
    assert len(prompt["answer_tokens"]) == 21
    trials = pq.read_table(workdir / "exact" / "trials.parquet", columns=["p_stop", "p_bet", "p_other"])
    np.testing.assert_allclose(sum(trials[name].to_numpy() for name in trials.column_names), 1, atol=1e-6)


def test_what_was_found_is_told(demo):
    workdir, (first, _) = demo
    out = first["out"]
    assert "60 features differ most" in out
    assert "set at the last prompt token (last_prompt)" in out
    # The strongest feature makes the model bet, in every way it is looked at.
    assert re.search(r"layer  2 feature    121  patch:risky - noop +\+0\.\d+ \[\+.* causal", out)
    # Its words are those of its decision, and the features it drives have the same.
    assert re.search(r"L2-121: p_bet \+0\.\d+; driven by L.*; drives L3-.*; adds .*'bet'; removes 'stop'", out)
    assert re.search(r"[1-9]\d* of \d+ pathways stand when their source is set to 0", out)
    assert (workdir / "pathways.png").is_file()
    assert "logit of '9' less that of '8'" in out
    assert "the model now answers '138.'" in out
    assert "the model now answers ' are'" in out
    assert "second-order effects of all 1024 neurons on 24 sums" in out
    assert re.search(r"layer 0 neuron +\d+: -0\.\d+ \[-.* through one head; its direction in words: [+-]0\.", out)
    assert str(workdir) in out


def test_the_demo_resumes_and_says_the_same(demo):
    workdir, (first, again) = demo
    assert again["status"] == 0
    assert not [name for name in again["compiled"] if "edited_answers" in name or "decode_segment" in name]
    assert again["out"].splitlines()[:-2] == first["out"].splitlines()[:-2]
    for outcome in ("exact", "sampled"):
        summary = json.loads((workdir / outcome / "summary.json").read_text())
        assert summary["prompts"] == {"risky": 24, "safe": 24}
        assert summary["edits"] == {
            "scope": "last_prompt",
            "form": "delta",
            "operation": "set",
            "values": "q90 of each group",
        }


def test_flags_out_of_range_are_refused(drive):
    few, unknown = drive("demo", ("--states=2",), ("--per_layer=5", "now"))
    assert (few["status"], unknown["status"]) == (2, 2)
    assert "--states: got 2; needs a whole number >= 8" in few["err"]
    assert "unknown arguments: now" in unknown["err"]
