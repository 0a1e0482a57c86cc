"""`causeway screen` from a file, from states and from games, and its refusals."""

import json
import subprocess
import sys

import pyarrow.parquet as pq
import pytest

from causeway.engine.tasks.slot_machine import VARIABLE_MENU
from causeway.engine.tasks.slot_states import labelled_prompts
from causeway.ports.dictionaries.load import save_dictionary
from causeway.ports.models.llama import save_llama
from causeway.ports.models.word_tokenizer import build_word_tokenizer, save_word_tokenizer


@pytest.fixture(scope="session")
def run(drive):
    """All that some runs print, and the error of each, or None."""

    def run(*runs):
        done = drive("screen", *runs)
        return "".join(one["out"] for one in done), [one["err"].strip() if one["status"] else None for one in done]

    return run


@pytest.fixture(scope="module")
def place(tiny, tmp_path_factory):
    """A folder with a random model that knows the game's words, and dictionaries for its two layers."""
    folder = tmp_path_factory.mktemp("screen")
    words = build_word_tokenizer(
        [p.text for p in labelled_prompts(0, 40)] + [" bet $5. stop.", "game: new. win game "], 60
    )
    save_llama(
        folder / "model", tiny.make_transformer(num_layers=2, vocab_size=words.get_vocab_size(), max_position=80)
    )
    save_word_tokenizer(words, folder / "model")
    save_dictionary(folder / "saes", tiny.make_dictionary(layers=(0, 1)))
    return folder


@pytest.fixture(scope="module")
def flags(place):
    return [f"--model={place / 'model'}", f"--dictionaries={place / 'saes'}"]


def _lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
def test_states_the_file_they_left_and_games(run, place, flags):
    states = [*flags, "--states=12", f"--out={place / 'states'}"]
    again = [*flags, f"--prompts={place / 'states' / 'prompts.jsonl'}", f"--out={place / 'again'}", "--batch_rows=5"]
    strata = [*again[:-2], f"--out={place / 'strata'}", "--strata=round,balance", "--position=max"]
    games = [*flags, "--play=3", "--max_new_tokens=2", f"--out={place / 'played'}"]
    printed, errors = run(states, again, strata, states, games)
    assert errors[:3] == [None, None, None]
    assert "screen.parquet is there already" in errors[3]
    assert "prompts: 12 safe, 12 risky" in printed
    _check_states(place)
    # Random weights cannot play: no game has a group, and each is on file.
    assert "games: 3 invalid" in printed
    assert "'safe' labels no prompt" in errors[4]
    played = _lines(place / "played" / "games.jsonl")
    assert [game["outcome"] for game in played] == ["invalid"] * 3
    assert played[0]["menu"] == [VARIABLE_MENU.smallest, VARIABLE_MENU.largest]


def _check_states(place):
    """What the first three runs wrote."""
    table = pq.read_table(place / "states" / "screen.parquet")
    assert table.num_rows == 2 * 24
    assert set(table["n_safe"].to_pylist()) == {12}
    other = pq.read_table(place / "again" / "screen.parquet")
    assert table["mean_risky"].to_numpy() == pytest.approx(other["mean_risky"].to_numpy(), rel=1e-5, abs=1e-6)
    assert "q_stratified" in pq.read_table(place / "strata" / "screen.parquet").column_names

    prompts = _lines(place / "states" / "prompts.jsonl")
    expected = labelled_prompts(0, 12)
    assert [p["text"] for p in prompts] == [p.text for p in expected]
    assert all(p["token_ids"][0] == 0 for p in prompts)  # the begin-of-sequence token, as run
    assert prompts[0]["answers"][0] == {"text": " stop.", "label": "stop"}
    assert _lines(place / "again" / "prompts.jsonl") == prompts
    summary = json.loads((place / "states" / "summary.json").read_text())
    assert summary["prompts"] == {"safe": 12, "risky": 12}
    assert (summary["flags"]["states"], summary["flags"]["position"]) == (12, "last")
    assert set(summary["by_layer"]) == {"0", "1"}


def test_bad_input_is_one_line(run, place, flags):
    def file(name, *records):
        path = place / f"{name}.jsonl"
        path.write_text("".join(json.dumps(r) + "\n" for r in records))
        return [*flags, f"--prompts={path}", f"--out={place / 'refused'}"]

    safe, risky = ({"text": "game: new", "group": group} for group in ("safe", "risky"))
    cases = {
        "got nothing; needs exactly one": [*flags, f"--out={place / 'refused'}"],
        "got --prompts and --play": [*file("both", safe), "--play=2"],
        "--out: got nothing": [*flags, "--states=3"],
        "needs two distinct labels": [*file("same", safe, risky), "--groups=safe,safe"],
        "line 2: has no label": file("unlabelled", safe, {"text": "game"}),
        "'risky' labels no prompt": file("lonely", safe, safe),
        "'risky' has 1 prompts": file("few", safe, {**safe, "text": "game: win"}, risky),
        "line 2: has neither a text": file("empty", safe, {"text": "", "group": "risky"}),
        "tokens, but the context": file("long", safe, {"text": "game " * 90, "group": "risky"}),
        "no field 'round' to stratify by": [*file("flat", safe, risky), "--strata=round"],
        "no such file": [*flags, "--prompts=absent.jsonl", f"--out={place / 'refused'}"],
        "use three_state, v1, v2 or v3": [*flags, "--play=2", "--wording=study", "--parser=answers", "--out=x"],
        "--menu: given twice": [*flags, "--states=2", "--menu=fixed", "--menu=variable", "--out=x"],
    }
    _, errors = run(*cases.values())
    for message, error in zip(cases, errors, strict=True):
        assert error is not None, message
        assert message in error
        assert "\n" not in error
    assert not (place / "refused").exists()


def test_the_command_lists_its_flags_at_once():
    done = subprocess.run(
        [sys.executable, "-P", "-X", "importtime", "-m", "causeway.drivers.screen", "--help"],
        capture_output=True,
        text=True,
    )
    assert all(flag in done.stdout for flag in ("--label_field", "--play", "--dictionaries"))
    assert " jax\n" not in done.stderr
