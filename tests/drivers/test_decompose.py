"""`causeway decompose` on components of the bundled model that are made of its own tokens, and its refusals."""

import json

import numpy as np
import pytest
import scipy.sparse

import causeway as cw
from causeway.ports.files.parquet_files import read_parquet
from causeway.ports.results.component_files import write_about, write_layer
from causeway.ports.results.decomposition_files import names

SUMS = {3: {" win": 2.0, " river": -1.0}, 200: {" good": 1.0, "5": 0.8}}
RATIONALES = [
    {"solution": "the river is near the house, but not the garden.", "question": "where"},
    {"solution": "a river is not a city. the garden is.", "question": "what"},
    {"solution": "the theorem of the city is not in the garden.", "question": "why"},
]


def write(folder, fingerprint, layers, rows, neuron):
    folder.mkdir()
    for layer in layers:
        write_layer(folder, cw.Components(layer, neuron, np.zeros_like(rows), rows, fingerprint))
    write_about(folder, fingerprint, layers, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Components of two layers: two sums of tokens, one random direction, and a neuron that does not vary."""
    folder, model = tmp_path_factory.mktemp("decompose"), cw.load_model("bundled:tiny")
    lexicon = cw.lexicon(model)
    at = {text: i for i, text in enumerate(lexicon.texts)}
    rows = [sum(weight * lexicon.atoms[at[text]] for text, weight in parts.items()) for parts in SUMS.values()]
    rows = np.stack([*rows, np.random.default_rng(0).standard_normal(128), np.zeros(128)])
    rows = (rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9)).astype(np.float32)
    neuron = np.array([3, 200, 17, 80])
    write(folder / "components", model.fingerprint, [1, 2], rows, neuron)
    write(folder / "held", model.fingerprint, [1, 2], rows[::-1].copy(), neuron[::-1].copy())
    write(folder / "foreign", "0" * 64, [1], rows, neuron)
    (folder / "words.txt").write_text("win\ntheorem\nriver\ngood\nhouse\n")
    (folder / "solutions.jsonl").write_text("".join(json.dumps(line) + "\n" for line in RATIONALES))
    return folder


@pytest.fixture(scope="module")
def runs(drive, folder):
    base = ["--model=bundled:tiny", f"--components={folder / 'components'}"]
    fine = [*base, f"--held_components={folder / 'held'}", "--atoms=4", "--as_published", f"--out={folder / 'out'}"]
    words = [*base, "--layers=2", "--limit_neurons=1", "--atoms=2", "--null_draws=0"]
    other = f"--out={folder / 'other'}"
    data = ["--lexicon=data", f"--data={folder / 'solutions.jsonl'}", "--field=solution"]
    definitions = ["--word_vectors=definitions", "--definition=WORD:", f"--workdir={folder / 'work'}"]
    return drive(
        "decompose",
        fine,
        [*words, f"--lexicon={folder / 'words.txt'}", f"--out={folder / 'file'}"],
        [*words, *data, "--min_count=2", f"--out={folder / 'data'}"],
        [*words, "--lexicon=maths", *definitions, f"--out={folder / 'definitions'}"],
        [*base, "--neurons=2:200", "--atoms=2", f"--out={folder / 'one'}"],
        # From here on refused.
        fine,
        [*base, "--atoms=999", other],
        [*base, "--lexicon=maths", "--data=x.jsonl", other],
        ["--model=bundled:tiny", f"--components={folder / 'foreign'}", other],
        [*base, f"--held_components={folder / 'foreign'}", "--layers=1", other],
        [*base, "--neurons=1:5", other],
        [*base, "--layers=0", other],
        ["--model=bundled:tiny", f"--components={folder}", other],
        [*base, *data, other],
        [*base, "--lexicon=mathematics", other],
        [*base, "--definition=WORD is", other],
        [*base, *data[:-1], "--min_count=1", other],
        [*base, "--lexicon=data", other],
    )


def test_sums_of_tokens_are_found_again_in_every_file(runs, folder):
    assert runs[0]["status"] == 0, runs[0]["err"]
    out = folder / "out"
    assert {path.name for path in out.iterdir()} == {*names([1, 2], published=True), "causeway.sha256"}
    lexicon = [json.loads(line)["text"] for line in (out / "lexicon.jsonl").read_text().splitlines()]
    for layer in (1, 2):
        words = json.loads((out / f"decomposition_layer_{layer}.json").read_text())
        assert set(words) == {"3", "200", "17"}
        codes = scipy.sparse.load_npz(out / f"decomposition_layer_{layer}.npz")
        assert codes.shape == (256, len(lexicon))
        for neuron, parts in SUMS.items():
            assert {text for _, _, text in words[str(neuron)]} == set(parts)
            for index, coefficient, text in words[str(neuron)]:
                assert lexicon[index] == text
                assert codes[neuron, index] == pytest.approx(coefficient)
                assert np.sign(coefficient) == np.sign(parts[text])
    table = read_parquet(out / "neurons.parquet")
    assert table.num_rows == 6
    assert set(table["neuron"].to_pylist()[:4]) == {3, 200}
    np.testing.assert_allclose(table["cosine"].to_numpy()[:4], 1, atol=1e-5)
    # Components of other prompts are the same ones here, in another order.
    np.testing.assert_allclose(table["held_cosine"], table["cosine"], atol=1e-5)
    about = json.loads((out / "decompose.json").read_text())
    assert [(layer["layer"], layer["neurons"], layer["do_not_vary"]) for layer in about["layers"]] == [
        (1, 3, [80]), (2, 3, [80]),
    ]  # fmt: skip
    assert about["layers"][0]["as_published"]["mean_cosine"] < 1
    assert "3 neurons, mean cosine" in runs[0]["out"]
    assert "left out: 3 special tokens" in runs[0]["err"]


def test_words_come_from_a_file_from_worked_answers_or_are_curated(runs, folder):
    for run in runs[1:4]:
        assert run["status"] == 0, run["err"]

    def lexicon(name):
        return [json.loads(line)["text"] for line in (folder / name / "lexicon.jsonl").read_text().splitlines()]

    assert lexicon("file") == ["win", "river", "good", "house"]
    assert "left out: 1 words that the tokenizer does not know: 'theorem'" in runs[1]["err"]
    assert lexicon("data") == ["garden", "not", "city", "river"]
    assert {"in", "not", "loss"} & set(lexicon("definitions"))
    kinds = [json.loads((folder / name / "decompose.json").read_text())["kind"] for name in ("file", "definitions")]
    assert kinds == ["mean", "definitions"]
    assert (folder / "work" / "definitions").is_dir()
    rows = read_parquet(folder / "file" / "neurons.parquet")
    assert (rows["layer"].to_pylist(), rows["neuron"].to_pylist()) == ([2], [3])
    assert np.isnan(rows["p"].to_numpy()).all()
    assert rows["words"][0].as_py() == "win, -river"


def test_an_overwritten_folder_keeps_nothing_of_the_run_before(drive, folder):
    run = ["--model=bundled:tiny", f"--components={folder / 'components'}", "--atoms=2", f"--out={folder / 'again'}"]
    first, second = drive("decompose", [*run, "--as_published"], [*run, "--layers=2", "--overwrite"])
    assert (first["status"], second["status"]) == (0, 0), second["err"]
    assert {path.name for path in (folder / "again").iterdir()} == {*names([2]), "causeway.sha256"}


def test_one_neuron_is_described_alone(runs, folder):
    assert runs[4]["status"] == 0, runs[4]["err"]
    assert set(json.loads((folder / "one" / "decomposition_layer_2.json").read_text())) == {"200"}


@pytest.mark.parametrize(
    ("run", "message"),
    [
        (5, "decompose.json is there already; give another folder or --overwrite"),
        (6, "--atoms: got 999 for each neuron, but the lexicon has 243 texts"),
        (7, "--data: without effect without --lexicon=data; leave it out"),
        (8, "components: made on weights 000000000000, but bundled:tiny is"),
        (9, "components: made on weights 000000000000, but bundled:tiny is"),
        (10, "--neurons: 1:5 has no component here"),
        (11, "has components of layers 1, 2, none of layer 0"),
        (12, "components.json: no such file; give the folder that `components` wrote"),
        (13, "--min_count: no word is in 5 of 3 texts"),
        (14, "--lexicon: got 'mathematics'; needs maths, or a file"),
        (15, "--definition: without effect without --word_vectors=definitions"),
        (16, "needs a string, or an object whose field 'text' is one"),
        (17, "--data: got nothing; needs files of texts"),
    ],
)
def test_bad_input_is_refused_in_one_line(runs, folder, run, message):
    assert runs[run]["status"] == 2, runs[run]
    assert message in runs[run]["err"]
    assert len([line for line in runs[run]["err"].splitlines() if not line.startswith("left out: ")]) == 1
    assert not (folder / "other").exists()
    assert not any("pursue" in program for program in runs[run]["compiled"])
