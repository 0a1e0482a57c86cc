"""Every public call refuses what no argument can be with one line, before anything is compiled."""

import inspect

import numpy as np
import pyarrow as pa
import pytest

import causeway as cw
from causeway.engine.earlier_results import FEATURES, REPEATED, RESPONSES, EarlierResults
from causeway.engine.prompt_record import PromptRecord

PROMPT = "44+95="
TARGET = cw.logit_difference(5, 11)
SUMS = [(PROMPT, "139.", "138."), ("44+94=", "138.", "139.")]
GROUPS = {"a": ["44+95=", "44+94="], "b": ["14+15=", "24+25="]}
COLUMNS = np.eye(4, 128, dtype=np.float32)
NEURONS = cw.Components(1, np.array([3]), COLUMNS[:1], COLUMNS[:1])
JUDGED = [
    PromptRecord(f"{n}+95=", split=("train", "test")[n % 2], fields={"correct": n % 4 < 2, "label_source": "margin"})
    for n in range(40, 56)
]
ANSWERED = pa.Table.from_pylist([
    {"layer": layer, "feature": layer, "context": "safe", "arm": arm, "condition": arm, "prompt": "safe",
     "trial": trial, "response": f"1) Bet ${trial}", "action": "bet", "amount": 1.0, "valid": True, "source": "x"}
    for layer, arm in ((-1, "baseline"), (3, "patch:risky")) for trial in range(6)
], RESPONSES)  # fmt: skip
RESULTS = EarlierResults(
    FEATURES.empty_table(), ANSWERED, REPEATED.empty_table(), (), "patch_sweep", {}, ("trials.parquet",)
)
# A call that would do, of each public function: what is not named here has to be refused by its type alone.
CALLS = {
    "ablate": {"prompts": [(PROMPT, "139.", "138.")], "components": None},
    "activation_patching": {"clean": PROMPT, "corrupted": "44+94=", "target": TARGET},
    "adversarial": {"prompts": SUMS, "words": ["Turkey", "here"], "lexicon": ["Chile", "today"]},
    "adversarial_words": {"decompositions": [], "scores": None},
    "attribute": {"prompt": PROMPT, "dictionary": "transcoders"},
    "audit": {"results": None},
    "chat": {"messages": [{"role": "user", "content": PROMPT}]},
    "components": {"prompts": ["44+95=", "44+94=", "14+15="], "layer": 1, "largest": 1},
    "contexts": {"texts": [PROMPT, "44+94=138."], "dictionary": "saes", "features": [(0, 1)], "length": 8},
    "decompose": {"components": NEURONS, "lexicon": cw.Lexicon(("a", "b"), COLUMNS[1:3], "mean", ""), "atoms": 1},
    "direct_logit_attribution": {"prompt": PROMPT, "target": TARGET},
    "diverging_answers": {"prompt": PROMPT, "answers": ["139.", "138."]},
    "direction": {"representations": None},
    "edit": {"prompts": [(PROMPT, "139.", "138."), ("44+94=", "138.", "139.")], "neurons": [(1, 5)]},
    "effects": {"prompts": PROMPT, "target": TARGET, "arms": [[]]},
    "errors": {"prompts": JUDGED},
    "evaluate": {"prompts": [(PROMPT, "139.", "138.")]},
    "features": {"prompts": PROMPT, "dictionary": "saes"},
    "generate": {"prompts": PROMPT},
    "integrate": {
        "select": pa.table({"layer": [0], "feature": [1]}),
        "chains": pa.table({name: [0.0] for name in ("length", "total", "mediated", "low", "high", "q")}).append_column(
            "path", pa.array(["L0-1 -> L1-2"])
        ),
    },
    "intervene": {"prompt": PROMPT, "dictionary": "transcoders", "edits": [(0, 1, 2, 0.5)]},
    "keep_compiled_programs": {},
    "lexicon": {},
    "lexicon_words": {"source": "maths"},
    "load_dictionaries": {"reference": "bundled:tiny"},
    "load_model": {"reference": "bundled:tiny"},
    "logit_difference": {"correct": 5, "wrong": 11},
    "logit_lens": {"prompt": PROMPT},
    "make_mesh": {"data": 2},
    "patch_sweep": {
        "prompts": GROUPS, "dictionary": "saes", "answers": {"nine": "9", "eight": "8"},
        "features": [{"layer": 0, "feature": 1, "value_a": 0.0}],
    },
    "pathways": {"prompts": ["44+95=", "44+94="], "dictionary": "saes", "targets": ["L2-121"]},
    "polysemanticity": {"prompts": [(PROMPT, "139.", "138.")], "components": None},
    "pullback": {"prompt": PROMPT, "target": TARGET},
    "rank": {"prompts": [(PROMPT, "139.", "138.")] * 2},
    "replay": {
        "prompts": GROUPS, "dictionary": "saes", "features": [{"layer": 0, "feature": 1, "value_a": 0.0}],
        "workdir": "out",
    },
    "read_earlier": {"folder": "runs/study"},
    "represent": {"prompts": [(PROMPT, "139.", "138.")]},
    "run": {"prompts": PROMPT},
    "save_dictionary": {"dictionary": "saes", "directory": "out"},
    "load_graph": {"path": "graph.json"},
    "save_graph": {"graph": None, "folder": "out"},
    "save_model": {"folder": "out", "edits": [cw.UnitEdit(1, 5, 2.0, "scale", stream="mlp_act")]},
    "save_heat_map": {"table": None, "path": "map.png"},
    "save_records": {"records": None, "path": "records.safetensors"},
    "select": {"screen": pa.table({"layer": [0], "feature": [1], "d": [0.5]})},
    "screen": {"prompts": GROUPS, "dictionary": "saes"},
    "study": {"config": {"name": "x", "stages": [{"name": "p", "driver": "prompts"}]}, "workdir": "out"},
    "tokens": {"results": RESULTS},
    "words_of_texts": {"texts": ["a cat has four legs"], "min_count": 1},
    "second_order": {"prompts": [(PROMPT, "139.", "138.")]},
    "FeatureEdit": {"layer": 0, "feature": 1},
    "VectorEdit": {"layer": 0, "vector": np.ones(128)},
    "SwapEdit": {"layer": 0, "vector": np.ones(128)},
    "UnitEdit": {"layer": 0, "unit": 1},
    "PatternEdit": {"layer": 0, "head": 1, "query": 2, "key": 1},
    "Tap": {},
    "Hold": {"stream": "mlp_out"},
    "Cotangent": {"layer": 0, "position": 0, "vector": np.ones(128)},
}  # fmt: skip
# Objects of the engine's own, which are not made by hand.
NOT_TYPED = {"parallel", "placement", "sharding"}
# Programs that run a prompt.
PASSES = (
    "jit(on_one_device",
    "jit(_run)",
    "jit(record_pass)",
    "jit(decode",
    "jit(prefill)",
)


@pytest.fixture(scope="module")
def given():
    model = cw.load_model("bundled:tiny")
    saes = cw.load_dictionaries("bundled:tiny", for_model=model)
    transcoders = cw.load_dictionaries("bundled:tiny/transcoders", for_model=model)
    return {"model": model, "saes": saes, "transcoders": transcoders}


def test_every_public_function_is_tried():
    functions = {name for name in cw.__all__ if inspect.isfunction(getattr(cw, name))}
    assert functions - {"attribute"} <= CALLS.keys()


@pytest.mark.parametrize("name", CALLS)
def test_what_no_argument_can_be_is_refused_in_a_line(name, given, compilations):
    call = getattr(cw, name)
    parameters = [p for p in inspect.signature(call).parameters if p not in NOT_TYPED]
    valid = CALLS[name] | ({"model": given["model"]} if "model" in parameters else {})
    valid = {key: given[v] if key == "dictionary" and isinstance(v, str) else v for key, v in valid.items()}
    failures = []
    with compilations() as programs:
        for parameter in parameters:
            for wrong in (object(), [object()], {"a": object()}):
                try:
                    call(**valid | {parameter: wrong})
                except (ValueError, OSError) as error:
                    if "\n" in str(error):
                        failures.append(f"{parameter}: several lines: {error}")
                except Exception as error:
                    failures.append(f"{parameter}={type(wrong).__name__}: {type(error).__name__}: {error}")
                else:
                    failures.append(f"{parameter}={type(wrong).__name__}: taken")
    assert not failures, "\n".join(failures)
    assert not [program for program in programs if program.startswith(PASSES)]
