"""Of commands about what neurons do."""

from types import MappingProxyType

_ADDITION = "--prompts=runs/addition_prompts"

NEURONS = MappingProxyType({
    "represent": (
        ("what the right answers' logits are",
         f"causeway represent {_ADDITION} --generate --record_logits=5 --out=runs/represent_logits"),
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
        ("some neurons",
         f"causeway components {_ADDITION} --neurons=2:210,1:152 --largest=24 --workdir=runs/two_components"),
        ("where answers part",
         f"causeway components {_ADDITION} --layers=1 --limit_neurons=16 --largest=6 "
             "--position=answers "
         "--workdir=runs/other_components"),
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
         f"causeway ablate {_ADDITION} --components=runs/components_at_answers --nolive --out=runs/ablate_codes"),
        ("resumably",
         f"causeway ablate {_ADDITION} --components=runs/components_at_answers --workdir=runs/ablate.work "
         "--out=runs/ablate_resumable"),
    ),
    "edit": (
        ("and write the model",
         f"causeway edit {_ADDITION} --neurons=2:210,1:152 --factors=2 --export=runs/edited2 --out=runs/edit2"),
        ("what it costs on texts",
         f"causeway edit {_ADDITION} --neurons=2:210 --unrelated_data=tasks --text_rows=8 --out=runs/edit_price"),
    ),
    "errors": (
        ("by what neurons do to the answer",
         "causeway errors --prompts=runs/represent/metadata.jsonl --labels=margin --measure=direct "
         "--directions=runs/direction --along=covariance --out=runs/errors_direct"),
        ("error rates by a field",
         "causeway errors --prompts=runs/represent/metadata.jsonl --labels=margin --by=group "
         "--out=runs/errors_by_group"),
    ),
    "adversarial": (
        ("other prompts choose the words",
         f"causeway adversarial {_ADDITION} --words=Turkey,Ireland,here,in --keep=2 --seed=1 --out=runs/adversarial_1"),
        ("resumably",
         f"causeway adversarial {_ADDITION} --words=here,in --keep=1 --workdir=runs/adversarial.work "
         "--out=runs/adversarial_resumable"),
    ),
    "polysemanticity": (
        ("groups of a field",
         f"causeway polysemanticity {_ADDITION} --components=runs/components --label_field=split "
         "--out=runs/by_template"),
        ("other draws",
         f"causeway polysemanticity {_ADDITION} --components=runs/components --seed=1 --out=runs/other_draws"),
    ),
})  # fmt: skip
