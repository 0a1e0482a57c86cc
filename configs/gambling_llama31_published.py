"""The published feature-patching study as it was run: Llama-3.1-8B, Llama Scope, two prompts, six conditions.

    causeway study --config=configs/gambling_llama31_published.py --workdir=runs/published --plan

Everything as published, its choices included that one would make otherwise (configs/gambling_llama31.py): games that
the model plays label the states; the 300 features of each of layers 1 to 31 with the largest |d|, 9,300 in all, are
set to their groups' population means, zeros included, at the last prompt token and at every written one, by putting
the dictionary's reconstruction in the stream's place (`replace`), with a threshold of 0 (`gating=study`), in float16;
30 trials of 100 tokens at temperature 0.7 in each of six conditions, read by the first parser and rule: 1,674,000
trials, of which the 60 of the two baselines are drawn once, since no feature is set there. `export_study` writes the
study's own files. What follows (audit to integrate) is what its documents plan: 50 features a layer of those that its
rule declares (`verdict`), 25 pathways each. There is no no-op, so that the dictionary's error is part of every effect.

Two prompts tell nothing of others. By our criteria no feature is causal or could be; of pathways one prompt proposes
and the other measures, which is a change (`original_change`) and no test; of replay the documents' own rules
(original_*) say something, whose unit is the trial. So no random features are run there.

Layer 31 is read and patched at the block's output; the study read it behind the last norm and patched it before.
"""

from ml_collections import ConfigDict

from causeway.configs.gambling_stages import Row, integrated, stages

LAYERS = tuple(range(1, 32))


def get_config() -> ConfigDict:
    """The study."""
    config = ConfigDict()
    config.name = "gambling_llama31_published"
    config.shared = ConfigDict({
        "model": "meta-llama/Llama-3.1-8B", "dictionaries": "fnlp/Llama3_1-8B-Base-LXR-8x", "layers": LAYERS,
        "gating": "study", "storage": "float16", "compute": "float16", "seed": 0,
    })  # fmt: skip
    prompts, screened, chosen = "prompts", "screen/screen.parquet", "select/causal_features.parquet"
    patched = {"value": "mean", "form": "replace", "scope": "last_prompt_and_decode"}
    rollouts = patched | {"temperature": 0.7, "max_new_tokens": 100}
    rows: tuple[Row, ...] = (
        (
            "screen", "screen", {},
            {"play": 6400, "wording": "study", "menu": ("fixed", "variable"), "vary_start": False, "parser": "v1",
             "max_new_tokens": 100, "temperature": 0.7},
        ),
        ("prompts", "prompts", {}, {"behaviours": ("slot_published",)}),
        (
            "sweep", "patch_sweep", {"prompts": prompts, "features": screened},
            rollouts | {"outcome": "sampled", "per_layer": 300, "trials": 30, "arms": ("baseline", "patch"),
                        "parser": "v1", "export_study": True},
        ),
        ("audit", "audit", {"results": "sweep"}, {}),
        (
            "select", "select", {"results": "sweep", "features": screened},
            {"verdict": "study", "per_layer": 50, "value": "mean"},
        ),
        (
            "pathways", "pathways", {"prompts": prompts, "features": chosen},
            {"select_by": "original", "top": 25, "tau": 0.1, "random_draws": 0},
        ),
        (
            "replay", "replay", {"prompts": prompts, "features": chosen},
            rollouts | {"trials": 20, "arms": ("baseline", "noop", "patch")},
        ),
        ("tokens", "tokens", {"results": "sweep", "features": chosen, "prompts": prompts}, {"reference": "baseline"}),
        integrated("sweep"),
    )  # fmt: skip
    config.stages = stages(rows)
    return config
