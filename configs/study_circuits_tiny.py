"""The circuit pipeline on the bundled model: prompts, can it, which features, what graph, does breaking it break it.

    causeway study --workdir=runs/circuits
    causeway study --config=configs/study_circuits_tiny.py --workdir=runs/circuits --config.shared.seed=3

Agreement across nouns that lie between, with the bundled transcoders; a minute on two cores. docs/circuits.md goes the
same way command by command. Half of the prompts of the graphs choose features and the other half measures them.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The study: five stages."""
    config = ConfigDict()
    config.name = "circuits_tiny"
    config.shared = ConfigDict({"model": "bundled:tiny", "dictionaries": "bundled:tiny/transcoders", "seed": 0})
    train = "prompts/bundled_agreement_train.jsonl"
    config.stages = (
        ConfigDict(
            {
                "name": "prompts",
                "driver": "prompts",
                "flags": {"behaviours": ("bundled_agreement",), "train": 12, "test": 6},
            }
        ),
        ConfigDict({"name": "evaluate", "driver": "evaluate", "takes": {"prompts": "prompts"}}),
        ConfigDict({"name": "features", "driver": "features", "takes": {"prompts": "prompts"}}),
        ConfigDict({"name": "attribute", "driver": "attribute", "takes": {"prompts": train}}),
        ConfigDict(
            {
                "name": "intervene",
                "driver": "intervene",
                "flags": {"max_features": 10, "held_out": 0.5},
                "takes": {"prompts": train, "graphs": "attribute"},
            }
        ),
    )
    return config
