"""Second-order effects on the bundled model, on addition: every neuron along the direction of its margins.

    causeway study --config=configs/second_order_tiny.py --workdir=runs/second_order

The model adds without a mistake, so the direction is fitted on graded labels (the margin between the right and a wrong
answer). Two minutes on two cores.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The study."""
    config = ConfigDict()
    config.name = "second_order_tiny"
    config.shared = ConfigDict({"model": "bundled:tiny", "seed": 0})
    stages: tuple[tuple[str, dict, dict], ...] = (
        ("prompts", {}, {"behaviours": ("bundled_addition",), "train": 64, "test": 32}),
        ("represent", {"prompts": "prompts"}, {}),
        ("direction", {"representations": "represent"}, {"labels": "margin"}),
        ("rank", {"prompts": "prompts"}, {"keep_layers": 3, "keep": 32}),
        ("second_order", {"prompts": "prompts", "directions": "direction"}, {"splits": ("train",), "heads": 10}),
        ("components", {"prompts": "prompts", "neurons": "rank"}, {"largest": 16, "position": "answers"}),
        ("decompose", {"components": "components"}, {"atoms": 8}),
        ("ablate", {"prompts": "prompts", "components": "components", "decompositions": "decompose"}, {}),
    )
    config.stages = tuple(
        ConfigDict({"name": name, "driver": name, "takes": takes, "flags": values}) for name, takes, values in stages
    )
    return config
