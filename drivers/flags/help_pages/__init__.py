"""Which flags of every driver come first in its --help, and an example of its use that runs as it stands.

A driver's flags that are named neither here nor in MODEL_FLAGS are `expert`.
"""

from types import MappingProxyType

from causeway.drivers.flags.help_page import Page

MODEL_FLAGS = (
    "model", "dictionaries", "layers", "bos", "storage", "compute", "devices", "mesh", "parallel", "placement",
    "gating",
)  # fmt: skip
_STATES = "causeway screen --states=20 --out=runs/screen"
_PROMPTS = "causeway prompts --behaviours=bundled_agreement --train=8 --test=4 --out=runs/prompts"
_ADDITION = "causeway prompts --behaviours=bundled_addition --train=24 --test=12 --out=runs/addition_prompts"
_COMPONENTS = (
    "causeway components --prompts=runs/addition_prompts --layers=1,2 --limit_neurons=64 --largest=6 "
    "--workdir=runs/components"
)
_COMPONENTS_AT_ANSWERS = f"{_COMPONENTS}_at_answers --position=answers"
_SAMPLED = (
    "causeway patch_sweep --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet --limit_features=8 "
    "--outcome=sampled --parser=three_state --trials=4 --max_new_tokens=8 --workdir=runs/sampled"
)
_TRANSCODERS = "--dictionaries=bundled:tiny/transcoders"

PAGES: MappingProxyType[str, Page] = MappingProxyType(
    {
        "demo": Page(("causeway demo",), (), ("workdir", "states", "per_layer", "seed")),
        "inspect": Page(
            ("causeway inspect --model=bundled:tiny --dictionaries=bundled:tiny",),
            (),
            ("model", "dictionaries", "data", "field", "text_rows", "json"),
        ),
        "convert": Page(
            ("causeway convert --model=bundled:tiny --storage=bfloat16 --out=runs/tiny_bfloat16",),
            ("out", ("model", "dictionaries")),
            ("storage", "verify", "tolerance"),
        ),
        "prompts": Page(
            (_PROMPTS,),
            ("out",),
            ("behaviours", "train", "test", "source", "name", "model", "seed", "overwrite"),
        ),
        "evaluate": Page(
            (_PROMPTS, "causeway evaluate --prompts=runs/prompts --out=runs/baseline"),
            ("prompts", "out"),
            ("model", "behaviours", "splits", "by", "generate", "skip_bad", "overwrite"),
        ),
        "features": Page(
            (_PROMPTS, f"causeway features {_TRANSCODERS} --prompts=runs/prompts --out=runs/features"),
            ("prompts", "out"),
            ("model", "dictionaries", "positions", "keep", "behaviours", "splits", "overwrite"),
        ),
        "contexts": Page(
            ("causeway contexts --data=tasks --num_texts=64 --length=32 --workdir=runs/contexts",),
            ("data", "workdir"),
            ("model", "dictionaries", "layers", "features", "length", "keep", "feature_labels", "neuronpedia"),
        ),
        "screen": Page(
            (_STATES,),
            ("out", ("prompts", "states", "play")),
            ("model", "dictionaries", "groups", "label_field", "strata", "overwrite"),
        ),
        "patch_sweep": Page(
            (
                _STATES,
                "causeway patch_sweep --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet "
                "--limit_features=8 --workdir=runs/exact",
            ),
            ("prompts", "features", "workdir"),
            ("model", "dictionaries", "answers", "outcome", "scope", "value", "limit_features", "plan"),
        ),
        "attribute": Page(
            (
                'causeway attribute --prompt="44+95=" --correct=139. --incorrect=138. '
                f"{_TRANSCODERS} --workdir=runs/addition",
            ),
            ("workdir", ("prompt", "prompts")),
            ("model", "dictionaries", "correct", "incorrect", "target", "max_feature_nodes", "graph_format"),
        ),
        "intervene": Page(
            (
                f'causeway intervene --prompt="44+95=" --correct=139. --incorrect=138. {_TRANSCODERS} '
                "--edits=1:5:336 --workdir=runs/without",
            ),
            ("workdir", ("prompt", "prompts"), ("edits", "graphs")),
            ("model", "dictionaries", "correct", "incorrect", "operation", "holds", "held_out"),
        ),
        "represent": Page(
            (_ADDITION, "causeway represent --prompts=runs/addition_prompts --out=runs/represent"),
            ("prompts", "out"),
            ("model", "stream", "position", "generate", "record_logits", "full", "splits", "overwrite"),
        ),
        "direction": Page(
            (
                _ADDITION,
                "causeway represent --prompts=runs/addition_prompts --out=runs/represent",
                "causeway direction --representations=runs/represent --labels=margin --out=runs/direction",
            ),
            ("representations", "out"),
            ("model", "labels", "label_source", "methods", "held_out", "token_directions", "overwrite"),
        ),
        "rank": Page(
            (_ADDITION, "causeway rank --prompts=runs/addition_prompts --keep_layers=2 --keep=20 --out=runs/rank"),
            ("prompts", "out"),
            ("model", "keep_layers", "keep", "criteria", "layers", "splits", "workdir", "overwrite"),
        ),
        "components": Page(
            (
                _ADDITION,
                _COMPONENTS,
            ),
            ("prompts", "workdir", ("neurons", "layers")),
            ("model", "limit_neurons", "largest", "position", "held_out", "as_published", "export_npy"),
        ),
        "second_order": Page(
            (_PROMPTS, "causeway second_order --prompts=runs/prompts --splits=train --workdir=runs/second_order"),
            ("prompts", "workdir"),
            ("model", "directions", "layers", "orders", "heads", "position", "behaviours", "splits"),
        ),
        "decompose": Page(
            (_ADDITION, _COMPONENTS, "causeway decompose --components=runs/components --atoms=8 --out=runs/words"),
            ("components", "out"),
            ("model", "lexicon", "data", "word_vectors", "atoms", "null_draws", "limit_neurons", "overwrite"),
        ),
        "ablate": Page(
            (
                _ADDITION,
                _COMPONENTS_AT_ANSWERS,
                "causeway ablate --prompts=runs/addition_prompts --components=runs/components_at_answers "
                "--out=runs/ablate",
            ),
            ("prompts", "components", "out"),
            ("model", "decompositions", "live", "as_published", "workdir", "overwrite"),
        ),
        "virtual_weights": Page(
            (f"causeway virtual_weights {_TRANSCODERS} --source_layer=0 --target_layer=2 --out=runs/weights",),
            ("source_layer", "target_layer", "out"),
            ("model", "dictionaries", "keep", "weighting", "data"),
        ),
        "edit": Page(
            (
                _ADDITION,
                _PROMPTS,
                "causeway edit --prompts=runs/addition_prompts --neurons=2:210,1:152,0:122 "
                "--factors=0,2 --unrelated=runs/prompts --out=runs/edit --export=runs/edited",
            ),
            ("prompts", "neurons", "out"),
            ("model", "factors", "sign_by", "held_out", "unrelated", "unrelated_data", "export", "overwrite"),
        ),
        "errors": Page(
            (
                _ADDITION,
                "causeway represent --prompts=runs/addition_prompts --out=runs/represent",
                "causeway errors --prompts=runs/represent/metadata.jsonl --labels=margin --out=runs/errors",
            ),
            ("prompts", "out"),
            ("model", "labels", "measure", "scores", "strata", "by", "decompositions", "overwrite"),
        ),
        "adversarial": Page(
            (
                _ADDITION,
                "causeway adversarial --prompts=runs/addition_prompts --words=Turkey,Ireland,here,in --keep=2 "
                "--out=runs/adversarial",
            ),
            ("prompts", "out", ("words", "decompositions")),
            ("model", "neurons", "directions", "insert", "slots", "num_words", "held_out", "overwrite"),
        ),
        "polysemanticity": Page(
            (
                _ADDITION,
                _COMPONENTS,
                "causeway polysemanticity --prompts=runs/addition_prompts --components=runs/components "
                "--out=runs/polysemanticity",
            ),
            ("prompts", "components", "out"),
            ("model", "decompositions", "label_field", "seed", "overwrite"),
        ),
        "audit": Page(
            (_STATES, _SAMPLED, "causeway audit --results=runs/sampled --out=runs/audit"),
            ("results", "out"),
            ("overwrite",),
        ),
        "select": Page(
            (
                _STATES,
                _SAMPLED,
                "causeway select --results=runs/sampled --features=runs/screen/screen.parquet --noonly_causal "
                "--per_layer=1 --out=runs/select",
            ),
            (("results", "features"), "out"),
            ("rank_by", "per_layer", "top_total", "only_causal", "verdict", "prompts", "prompts_each", "overwrite"),
        ),
        "pathways": Page(
            (
                _STATES,
                "causeway pathways --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet "
                "--per_layer=1 --top=5 --workdir=runs/pathways",
            ),
            ("prompts", "workdir", ("features", "prototype")),
            ("model", "dictionaries", "derivative", "position", "scope", "top", "set_to", "seed"),
        ),
        "replay": Page(
            (
                _STATES,
                "causeway replay --prompts=runs/screen/prompts.jsonl --features=runs/screen/screen.parquet "
                "--limit_features=3 --trials=2 --max_new_tokens=4 --workdir=runs/replay",
            ),
            ("workdir", ("prompts", "sweep")),
            ("model", "dictionaries", "features", "targets", "trials", "scope", "teacher_forced", "plan"),
        ),
        "tokens": Page(
            (_STATES, _SAMPLED, "causeway tokens --results=runs/sampled --model=bundled:tiny --out=runs/tokens"),
            ("results", "out"),
            ("model", "prompts", "units", "reference", "min_count", "until_decision", "keep", "overwrite"),
        ),
        "integrate": Page(
            (
                _STATES,
                _SAMPLED,
                "causeway select --results=runs/sampled --features=runs/screen/screen.parquet --noonly_causal "
                "--per_layer=1 --out=runs/select",
                "causeway tokens --results=runs/sampled --model=bundled:tiny --out=runs/tokens",
                "causeway integrate --select=runs/select --results=runs/sampled --associations=runs/tokens "
                "--out=runs/integrated",
            ),
            ("out",),
            ("select", "results", "pathways", "replay", "associations", "alpha", "similarity", "keep", "overwrite"),
        ),
        "train_model": Page(
            ("causeway train_model --out=runs/tiny --config.schedule.steps=20 --config.schedule.warmup_steps=5",),
            ("out",),
            ("config", "data", "field", "tokenizer", "workdir", "overwrite"),
        ),
        "train_dictionary": Page(
            (
                "causeway train_dictionary --model=bundled:tiny --data=tasks --num_texts=500 --length=64 "
                "--num_features=256 --l0=16 --steps=50 --out=runs/saes",
            ),
            ("model", "data", "out"),
            ("kind", "num_features", "l0", "k", "transcoder", "layers"),
        ),
        "study": Page(
            ("causeway study --workdir=runs/circuits",),
            ("workdir",),
            ("config", "only", "from", "plan", "repair"),
        ),
        "report": Page(
            (_STATES, "causeway report --workdir=runs/screen"),
            (("workdir", "graph", "compare"),),
            ("out", "figures", "bundle", "overwrite"),
        ),
        "serve": Page(
            (_STATES, "causeway serve --workdir=runs/screen"),
            ("workdir",),
            ("port",),
        ),
        "bench": Page(
            ("causeway bench intervene",),
            (),
            ("model", "threads", "json", "repeats", "batch_rows", "tokens", "nodes", "target"),
        ),
    }
)
