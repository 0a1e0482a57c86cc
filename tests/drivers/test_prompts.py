"""`causeway prompts`: files, byte-equal reruns, sources, and refusals."""

import json

import pytest

GSM8K = [{"question": f"{n} and {n}?", "answer": f"{n}+{n}={2 * n}\n#### {2 * n}"} for n in range(10, 30)]


def _write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def _names(folder):
    """The files of a folder whose checksums stand beside them."""
    names = {path.name for path in folder.iterdir()}
    recorded = {line.split("  ")[1] for line in (folder / "causeway.sha256").read_text().splitlines()}
    assert names == recorded | {"causeway.sha256"}
    return sorted(recorded)


@pytest.mark.slow
def test_the_four_behaviours_twice_and_sources(drive, tmp_path):
    source = _write(tmp_path / "gsm8k.jsonl", GSM8K)
    pairs = [
        {"clean_prefix": f"The {n}", "patch_prefix": f"The {n}s", "clean_answer": " is", "patch_answer": " are"}
        for n in ("cat", "dog", "cow", "hen")
    ]
    pairs = _write(tmp_path / "sva.json", pairs)
    (tmp_path / "bad.jsonl").write_text(json.dumps(GSM8K[0]) + "\nnot json\n" + json.dumps(GSM8K[1]) + "\n")
    sized = ["--train=6", "--test=2"]
    results = drive(
        "prompts",
        [f"--out={tmp_path / 'one'}"],
        [f"--out={tmp_path / 'two'}", "--model=bundled:tiny", "--behaviours=arithmetic,bundled_addition"],
        [f"--out={tmp_path / 'again'}"],
        [f"--out={tmp_path / 'one'}"],
        [f"--out={tmp_path / 'gsm'}", "--behaviours=gsm8k", f"--source={source}", *sized],
        [f"--out={tmp_path / 'gsm'}", "--behaviours=agreement_attractors", f"--source={pairs}", "--name=sva",
         "--train=3", "--test=1"],
        [f"--out={tmp_path / 'bad'}", "--behaviours=gsm8k", f"--source={tmp_path / 'bad.jsonl'}", *sized],
        [f"--out={tmp_path / 'kept'}", "--behaviours=gsm8k", f"--source={tmp_path / 'bad.jsonl'}", "--skip_bad",
         "--train=1", "--test=1"],
    )  # fmt: skip
    assert [r["status"] for r in results] == [0, 0, 0, 2, 0, 0, 2, 0], [r["err"] for r in results]
    files = [
        f"{name}_{split}.jsonl"
        for name in ("arithmetic", "factual_recall", "grammar_agreement", "sentiment_continuation")
        for split in ("test", "train")
    ]
    assert _names(tmp_path / "one") == files
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "again" / name).read_bytes()
        assert len((tmp_path / "one" / name).read_text().splitlines()) == (20 if "test" in name else 80)
    assert "grammar_agreement_train.jsonl is there already" in results[3]["err"]
    assert _names(tmp_path / "gsm") == [f"{n}_{s}.jsonl" for n in ("gsm8k", "sva") for s in ("test", "train")]
    line = json.loads((tmp_path / "gsm" / "gsm8k_train.jsonl").read_text().split("\n")[0])
    assert line["final_answer"] == line["correct_answer"].strip()
    assert "bad.jsonl line 2: not JSON" in results[6]["err"]
    assert not (tmp_path / "bad").exists()
    assert "left out:" in results[7]["err"]


def test_published_problems_and_pairs(drive, data_dir, tmp_path):
    text = data_dir / "text"
    sources = {
        "gsm8k": [text / "gsm8k" / "train.jsonl", text / "gsm8k" / "test.jsonl"],
        "agreement_attractors": [text / "sva" / "simple_train.json", text / "sva" / "simple_test.json"],
    }
    runs = [
        [f"--out={tmp_path / 'out'}", f"--behaviours={name}", f"--source={train}", "--train=40", "--test=10"]
        + ([f"--test_source={test}"] if name == "gsm8k" else [])
        for name, (train, test) in sources.items()
    ]
    for name, result in zip(sources, drive("prompts", *runs), strict=True):
        assert result["status"] == 0, result["err"]
        groups = [
            {json.loads(line)["group"] for line in (tmp_path / "out" / f"{name}_{split}.jsonl").open()}
            for split in ("train", "test")
        ]
        assert not groups[0] & groups[1]


def test_no_split_of_an_earlier_draw_is_left(drive, tmp_path):
    base = ["--behaviours=arithmetic", f"--out={tmp_path / 'out'}", "--overwrite"]
    for result in drive("prompts", [*base, "--train=5", "--test=5"], [*base, "--train=0", "--test=9", "--seed=1"]):
        assert result["status"] == 0, result["err"]
    assert _names(tmp_path / "out") == ["arithmetic_test.jsonl"]


def test_bad_input_is_one_line(drive, tmp_path):
    never = _write(tmp_path / "never.jsonl", [{"prompt": "the", "correct_answer": " is", "incorrect_answer": " is in"}])
    cases = {
        "--out: got nothing": ["--behaviours=arithmetic"],
        "behaviours: got 'poetry'": ["--behaviours=poetry", f"--out={tmp_path / 'x'}"],
        "distinct ones": ["--behaviours=factual_recall", "--train=5000", f"--out={tmp_path / 'x'}"],
        "comes from a file; give it with --source": ["--behaviours=gsm8k", f"--out={tmp_path / 'x'}"],
        "--source: given for grammar_agreement": [
            "--behaviours=grammar_agreement", "--source=a.jsonl", f"--out={tmp_path / 'x'}",
        ],
        "--test_source, --name": ["--behaviours=arithmetic", "--name=x", f"--out={tmp_path / 'x'}"],
        "--seed: got '-1'; needs a whole number in the range [0, 4294967295]": [
            "--behaviours=arithmetic", "--seed=-1", f"--out={tmp_path / 'x'}",
        ],
        "--name: got '../y'; needs letters": [
            "--behaviours=own", "--source=a.jsonl", "--name=../y", f"--out={tmp_path / 'x'}",
        ],
        "--templates: got as_published, but --source": [
            "--behaviours=own", "--source=a.jsonl", "--templates=as_published", f"--out={tmp_path / 'x'}",
        ],
        "never.jsonl line 1: answers ' is' and ' is in': never diverge": [
            "--behaviours=own", f"--source={never}", "--model=bundled:tiny", f"--out={tmp_path / 'x'}",
        ],
        "is a file; give a folder to write": ["--behaviours=arithmetic", f"--out={never}"],
        "a.jsonl: no such file": ["--behaviours=own", "--source=a.jsonl", f"--out={tmp_path / 'x'}"],
    }  # fmt: skip
    for (message, _), result in zip(cases.items(), drive("prompts", *cases.values()), strict=True):
        assert result["status"] == 2, message
        assert message in result["err"]
        assert result["err"].count("\n") == 1
    assert not (tmp_path / "x").exists()
