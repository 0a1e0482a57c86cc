"""The gambling study on the bundled model, end to end: which features make it bet, through which, with which words.

    causeway study --config=configs/gambling_tiny.py --workdir=runs/gambling

Matched states of the slot machine, exact probabilities of every answer for the features that differ most, then for the
strongest of these rollouts, pathways, replay and words, and one story a feature. What follows the choice is measured on
states of another draw (`fresh`), so that nothing is estimated on the states that chose it. Four minutes on two cores.
`states` and `per_layer` make it smaller: --config=configs/gambling_tiny.py --config.shared.states=12.
"""

from ml_collections import ConfigDict

from causeway.configs.gambling_stages import Row, integrated, stages


def get_config() -> ConfigDict:
    """The study: ten stages."""
    config = ConfigDict()
    config.name = "gambling_tiny"
    config.shared = ConfigDict({"model": "bundled:tiny", "dictionaries": "bundled:tiny/saes", "seed": 0, "states": 24})
    choosing, fresh, chosen = "screen/prompts.jsonl", "fresh/prompts.jsonl", "select/causal_features.parquet"
    rollouts = {"max_new_tokens": 6, "temperature": 1.0, "value": "q90"}
    rows: tuple[Row, ...] = (
        ("screen", "screen", {}, {}),
        ("fresh", "screen", {}, {"seed": 1}),
        (
            "exact", "patch_sweep", {"prompts": choosing, "features": "screen/screen.parquet"},
            {"per_layer": 8, "value": "q90", "batch_rows": 256},
        ),
        (
            "select", "select", {"results": "exact", "features": "screen/screen.parquet", "prompts": fresh},
            {"rank_by": "effect", "only_causal": False, "per_layer": 3, "value": "q90"},
        ),
        (
            "sampled", "patch_sweep", {"prompts": fresh, "features": chosen},
            rollouts | {"outcome": "sampled", "trials": 8, "arms": ("baseline", "patch", "ablate")},
        ),
        ("audit", "audit", {"results": "sampled"}, {}),
        (
            "pathways", "pathways", {"prompts": "select/prompts.jsonl", "features": chosen},
            {"top": 3, "random_pairs": 2, "chains": 20},
        ),
        # A source and its 19 random features are forty rollouts a prompt and value: a batch holds more of them.
        ("replay", "replay", {"prompts": fresh, "features": chosen}, rollouts | {"trials": 2, "batch_rows": 256}),
        ("tokens", "tokens", {"results": "sampled", "prompts": fresh}, {}),
        integrated("exact"),
    )  # fmt: skip
    config.stages = stages(rows)
    return config
