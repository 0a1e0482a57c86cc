"""Of commands that begin from an earlier study."""

from types import MappingProxyType

EARLIER = MappingProxyType({
    "audit": (
        ("again", "causeway audit --results=runs/sampled --out=runs/audit --overwrite"),
        ("files that a study published", "causeway audit --results=experiment_2_multilayer_patching --out=theirs"),
    ),
    "select": (
        ("by the interval of the effect",
         "causeway select --results=runs/sampled --rank_by=interval --noonly_causal --per_layer=2 "
         "--out=runs/by_interval"),
        ("the strongest, whatever their layer",
         "causeway select --results=runs/sampled --rank_by=effect --noonly_causal --top_total=5 --out=runs/strongest"),
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
})  # fmt: skip
