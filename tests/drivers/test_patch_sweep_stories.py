"""`causeway patch_sweep` on a published model, nothing special-cased; its SAEs are random here."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from causeway.engine.dictionary.dictionary import Dictionary, DictionaryConfig
from causeway.ports.dictionaries.load import save_dictionary


@pytest.mark.slow
@pytest.mark.parametrize("outcome", ["exact", "sampled"])
def test_both_outcomes_on_stories260k(data_dir, drive, tmp_path, outcome):
    model, rng = data_dir / "models" / "stories260K", np.random.default_rng(0)
    if not model.is_dir():
        pytest.skip(f"{model} not found; it holds the model of 260K parameters")
    wide = {"W_enc": (64, 96), "b_enc": (96,), "W_dec": (96, 64), "b_dec": (64,), "threshold": (96,)}
    arrays = {name: rng.standard_normal((2, *shape)).astype(np.float32) / 8 for name, shape in wide.items()}
    # SAELens knows no negative threshold.
    arrays["threshold"] = abs(arrays["threshold"])
    save_dictionary(tmp_path / "saes", Dictionary(DictionaryConfig("jumprelu", (1, 3)), **arrays))
    rows = [{"layer": n, "feature": f, "value_low": 0.0, "value_high": 6.0} for n in (1, 3) for f in (5, 40)]
    (tmp_path / "features.jsonl").write_text("\n".join(map(json.dumps, rows)))
    texts = ("Once upon a time there was a", "Tom had a big red", "The little dog was very")
    prompts = [{"text": text, "group": "low" if i % 2 else "high"} for i, text in enumerate(texts)]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    answers = [{"text": " girl", "label": "girl"}, {"text": " boy", "label": "boy"}]
    (run,) = drive("patch_sweep", [
        f"--model={model}", f"--dictionaries={tmp_path / 'saes'}", f"--prompts={tmp_path / 'prompts.jsonl'}",
        f"--features={tmp_path / 'features.jsonl'}", f"--answers={json.dumps(answers)}", f"--outcome={outcome}",
        f"--workdir={tmp_path / 'run'}", "--batch_rows=16", "--arms=baseline,patch,random",
        *(["--trials=2", "--max_new_tokens=4"] if outcome == "sampled" else []),
    ])  # fmt: skip
    assert run["status"] == 0, run["err"]
    trials = pq.read_table(tmp_path / "run" / "trials.parquet").to_pylist()
    assert len(trials) == 3 * (1 + 4 * 4) * (1 if outcome == "exact" else 2)
    if outcome == "exact":
        assert all(0 <= r["p_girl"] + r["p_boy"] <= 1 for r in trials)
        patched = [r for r in trials if r["arm"] == "patch:high"]
        assert len({r["p_girl"] for r in patched}) == len(patched)
    assert (tmp_path / "run" / "summary.json").exists()
