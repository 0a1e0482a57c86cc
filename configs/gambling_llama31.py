"""The gambling study on Llama-3.1-8B as it should be: many matched states, exact outcomes, controls, halves, q.

    causeway study --config=configs/gambling_llama31.py --workdir=runs/gambling --plan

Against configs/gambling_llama31_published.py: 200 states a group with one menu, matched on round and balance, in place
of two prompts; the feature's difference alone is added (`delta`), so that the dictionary's error is in no arm; its
threshold is read as it was trained; values are means of active features; every answer's probability is computed before
anything is drawn, with an ablation, random features of equal push and a ladder of doses beside it; half of the states
choose and the others estimate, and q is of all features and contrasts. Only what has an effect is then followed, on
200 states a group of another draw (`fresh`; 9 of the 400 are the same), so that nothing is estimated on the states that
chose it: by rollouts of which all arms share the random numbers, pathways, replay and words.
"""

from ml_collections import ConfigDict

from causeway.configs.gambling_stages import Row, integrated, stages

LAYERS = tuple(range(1, 32))
# The choice follows "Choice: ", as the study's prompt ends.
ANSWERS = '[{"text": "1", "label": "bet"}, {"text": "2", "label": "stop"}]'


def get_config() -> ConfigDict:
    """The study."""
    config = ConfigDict()
    config.name = "gambling_llama31"
    config.shared = ConfigDict({
        "model": "meta-llama/Llama-3.1-8B", "dictionaries": "fnlp/Llama3_1-8B-Base-LXR-8x", "layers": LAYERS,
        "storage": "bfloat16", "compute": "bfloat16", "seed": 0, "answers": ANSWERS,
    })  # fmt: skip
    screened, chosen = "screen/screen.parquet", "select/causal_features.parquet"
    choosing, fresh = "screen/prompts.jsonl", "fresh/prompts.jsonl"
    states = {"states": 200, "wording": "study", "strata": ("round", "balance")}
    rollouts = {"temperature": 0.7, "max_new_tokens": 100}
    rows: tuple[Row, ...] = (
        ("screen", "screen", {}, states),
        ("fresh", "screen", {}, states | {"seed": 1}),
        (
            "exact", "patch_sweep", {"prompts": choosing, "features": screened},
            {"per_layer": 300, "random_draws": 3, "correction": "by",
             "arms": ("baseline", "noop", "patch", "ablate", "random", "dose")},
        ),
        (
            "select", "select", {"results": "exact", "features": screened, "prompts": fresh},
            {"rank_by": "interval", "top_total": 100, "prompts_each": 4},
        ),
        (
            "sampled", "patch_sweep", {"prompts": fresh, "features": chosen},
            rollouts | {"outcome": "sampled", "trials": 5, "parser": "three_state",
                        "scope": "last_prompt_and_decode", "arms": ("baseline", "patch", "ablate", "random")},
        ),
        ("audit", "audit", {"results": "sampled"}, {}),
        ("pathways", "pathways", {"prompts": fresh, "features": chosen}, {}),
        (
            "replay", "replay", {"prompts": "select/prompts.jsonl", "features": chosen},
            rollouts | {"trials": 10},
        ),
        ("tokens", "tokens", {"results": "sampled", "prompts": fresh}, {}),
        integrated("exact"),
    )  # fmt: skip
    config.stages = stages(rows)
    return config
