"""A feature-patching study that never ran, in the published study's files and with known truth.

Each feature is tested in two contexts and three arms, `trials` sampled answers each. Of those answers the first line is
a decision (a stop, a bet of $5 to $100, or nothing readable) and the rest are words of a Zipf vocabulary:

    P(stop) in safe contexts, P(bet > $15) in risky ones    a baseline rate, plus `effect` under the context's own patch
                                                            of a causal feature, plus `shift` under any patch of any
    words                                                   a feature with words writes its own word in half of the
                                                            answers under patch:risky, and leaves out "careful"

What is declared of a feature is what the study's own rule says of these trials. 2,787 features of 31 layers, six
conditions and 30 trials are 501,660 responses, as published; smaller numbers make a study for a quick test.
"""

import dataclasses
import itertools
import json
from pathlib import Path

import numpy as np
import pyarrow as pa

from causeway.engine.analyses.as_published.causal_rule import original_rule
from causeway.engine.analyses.patch_sweep.arms import Arm
from causeway.engine.earlier_results import ARMS, CONTEXTS, feature_name

PUBLISHED = {"features": 2787, "layers": range(1, 32), "trials": 30, "parts": 8}
COMMON = ["the", "to", "bet", "i", "and", "balance", "target", "amount", "win", "careful", "round", "choose", "risk"]
OWN = ["jackpot", "chase", "double", "lucky", "thrill"]
REMOVED = "careful"
INVALID_RATE = 0.1
# Among readable answers, in a context without a patch.
STOP = {"safe": 0.4, "risky": 0.2}
LARGE = {"safe": 0.3, "risky": 0.4}


@dataclasses.dataclass(frozen=True)
class SimulatedStudy:
    """The truth of a study.

    Attributes:
        folder: its files. pairs: (layer, feature), in order. causal: name -> "safe" or "risky", the context in which
            its own patch does something. words: name -> the word it adds (and REMOVED it removes) under patch:risky.
        trials: the table that the files tell, a row a response.
    """

    folder: Path
    pairs: tuple[tuple[int, int], ...]
    causal: dict[str, str]
    words: dict[str, str]
    trials: pa.Table


def simulated_study(
    folder,
    *,
    features=40,
    layers=range(1, 5),
    trials=30,
    parts=2,
    causal=0.1,
    effect=0.45,
    shift=0.0,
    wordy=0.1,
    length=8,
    vocabulary=400,
    layout="nested",
    seed=0,
):
    """Make a study's folder.

    Args:
        folder: to be made. parts: checkpoints and logs that it is split over, by ranges of features.
        causal, wordy: shares of features with an effect, and with words. length: words of an answer.
        layout: of causality, "nested" or "flat" (a top-level is_causal).
    """
    rng = np.random.default_rng(seed)
    pairs = _pairs(rng, features, list(layers))
    names = [feature_name(*pair) for pair in pairs]
    chosen = rng.permutation(features)
    affected = chosen[: round(causal * features)]
    truth = {names[i]: CONTEXTS[n % 2] for n, i in enumerate(affected)}
    words = {names[i]: OWN[n % len(OWN)] for n, i in enumerate(chosen[::-1][: round(wordy * features)])}
    table = _trials(rng, pairs, names, trials, truth, words, (effect, shift), length, vocabulary)
    decided = original_rule(table)
    strength = np.where([name in truth for name in names], 1.2, 0.5) * rng.choice([-1, 1], features)
    cohen_d = strength * (1 + 0.2 * rng.random(features))
    _write(Path(folder), table, decided, cohen_d, names, trials, parts, layout)
    return SimulatedStudy(Path(folder), tuple(pairs), truth, words, table)


def _pairs(rng, features, layers):
    layer = np.sort(np.resize(layers, features))
    ids = np.concatenate([rng.choice(32768, np.sum(layer == one), replace=False) for one in np.unique(layer)])
    return sorted(zip(layer.tolist(), ids.tolist(), strict=True))


def _trials(rng, pairs, names, trials, truth, words, sizes, length, vocabulary):
    """One row a response, in the order (feature, context, arm, trial)."""
    effect, shift = sizes
    cells = [(f, c, a) for f in range(len(pairs)) for c in CONTEXTS for a in ARMS]
    f, context, arm = (np.repeat([cell[i] for cell in cells], trials) for i in range(3))
    own = np.array([truth.get(name, "") for name in names])[f] == context
    patched = np.char.startswith(arm, "patch:")
    moved = shift * patched + effect * (own & (arm == np.char.add("patch:", context)))
    action, amount = _decisions(rng, context, moved)
    written = np.array([words.get(name, "") for name in names])[f]
    written = np.where((arm == "patch:risky") & (written != ""), written, "")
    response = _texts(rng, action, amount, written, length, vocabulary)
    layer, feature = np.array(pairs)[f].T
    conditions = {(c, a): Arm.parse(a).condition(c) for c in CONTEXTS for a in ARMS}
    condition = [conditions[key] for key in zip(context.tolist(), arm.tolist(), strict=True)]
    return pa.table({
        "prompt_id": pa.array((context == "risky").astype(np.int32)), "group": context, "arm": arm,
        "layer": pa.array(layer, pa.int32()), "feature": pa.array(feature, pa.int32()), "condition": condition,
        "trial": pa.array(np.tile(np.arange(trials), len(cells)), pa.int32()), "action": action,
        "amount": pa.array(amount, from_pandas=True), "response": response,
    })  # fmt: skip


def _decisions(rng, context, moved):
    """Actions and amounts: what is moved is stops in safe contexts and large bets in risky ones."""
    draw, safe = rng.random((2, len(context))), context == "safe"
    stop = np.where(safe, STOP["safe"] + moved, STOP["risky"])
    large = np.where(safe, LARGE["safe"] * (1 - stop), np.minimum(LARGE["risky"] + moved, 1 - stop))
    action = np.where(draw[0] < stop, "stop", "bet")
    high = draw[0] < stop + large
    amount = np.where(high, 20.0 + 5 * np.floor(17 * draw[1]), 5.0 + 5 * np.floor(3 * draw[1]))
    unread = rng.random(len(context)) < INVALID_RATE
    action = np.where(unread, "invalid", action)
    return action, np.where(action == "bet", amount, np.nan)


def _texts(rng, action, amount, written, length, vocabulary):
    rest = [f"word{i:03d}" for i in range(len(COMMON), vocabulary)]
    lexicon = np.array(COMMON + rest)
    weight = 1 / np.arange(1, len(lexicon) + 1)
    drawn = rng.choice(len(lexicon), (len(action), length), p=weight / weight.sum())
    adds = (written != "") & (rng.random(len(action)) < 0.5)
    lines = []
    for what, dollars, own, adding, ids in zip(action, amount, written, adds, drawn, strict=True):
        first = {"stop": "2) Stop", "bet": f"1) Bet ${dollars:.0f}", "invalid": "Hmm"}[what]
        text = " ".join(lexicon[ids])
        if own:
            text = " ".join(word for word in text.split() if word != REMOVED)
        lines.append(f"{first}\n{own + ' ' if adding else ''}{text}.")
    return lines


def _write(folder, table, decided, cohen_d, names, trials, parts, layout):
    (folder / "response_logs").mkdir(parents=True)
    d = dict(zip(names, cohen_d.tolist(), strict=True))
    results = [_result(row, d, layout) for row in decided.to_pylist()]
    edges = np.linspace(0, len(names), parts + 1).round().astype(int)
    rows_each = table.num_rows // len(names)
    for part, (start, stop) in enumerate(itertools.pairwise(edges)):
        own = results[start:stop]
        ends = own[0]["layer"], own[-1]["layer"]
        name = f"L{ends[0]}_{ends[1]}_{part}_20251021_{part:06d}.json"
        checkpoint = {
            "timestamp": "2025-10-21T00:00:00", "gpu_id": part % 4, "process_id": part, "layer_range": ends,
            "features_tested": len(own), "n_trials_per_condition": trials, "results": own,
        }  # fmt: skip
        (folder / f"checkpoint_{name}").write_text(json.dumps(checkpoint, indent=1))
        rows = table.slice(start * rows_each, (stop - start) * rows_each).to_pylist()
        log = "[\n" + ",\n".join(json.dumps(_entry(row)) for row in rows) + "\n]\n"
        (folder / "response_logs" / f"responses_{name}").write_text(log)


def _result(row, cohen_d, layout):
    name = feature_name(row["layer"], row["feature"])
    result = {"feature": name, "layer": row["layer"], "feature_id": row["feature"], "cohen_d": cohen_d[name]}
    causality = {key.removeprefix("original_"): value for key, value in row.items() if key.startswith("original_")}
    if layout == "flat":
        return {**result, "is_causal": causality["is_causal_safe"] or causality["is_causal_risky"]}
    return {**result, "causality": causality}


def _entry(row):
    parsed = {
        "action": row["action"], "bet": row["amount"], "valid": row["action"] != "invalid", "response": row["response"],
    }  # fmt: skip
    return {
        "feature": feature_name(row["layer"], row["feature"]), "condition": row["condition"], "trial": row["trial"],
        "response": row["response"], "parsed": parsed,
    }  # fmt: skip
