"""The documented run of the second-order pipeline: GPT-2 on synthetic arithmetic, 5,000 problems and 500 held out.

    causeway study --config=configs/second_order_gpt2.py --workdir=runs/gpt2

The document's values: six critical layers of 100 neurons each, the 64 largest effects of a neuron, 16 words of the
curated lexicon, and its uncorrected figures beside ours (`as_published`). Where it looks at 64 sampled neurons of layer
8, every neuron of every layer is scored; components are found for those that `rank` keeps. Another model, or other
problems: --config.shared.model=..., --config.stages[0].flags.behaviours=synthetic_logic.
"""

from ml_collections import ConfigDict

MODEL = "openai-community/gpt2"


def get_config(name: str = "second_order_gpt2", model: str = MODEL) -> ConfigDict:
    """The study, of this model or of another.

    Args:
        name: of the study. model: what is studied.
    """
    config = ConfigDict()
    config.name = name
    config.shared = ConfigDict({"model": model, "seed": 0})
    problems = {"behaviours": ("synthetic_arithmetic",), "train": 5000, "test": 500}
    words = {"lexicon": "maths", "atoms": 16, "as_published": True}
    stages: tuple[tuple[str, str, dict, dict], ...] = (
        ("prompts", "prompts", {}, problems),
        ("represent", "represent", {"prompts": "prompts"}, {}),
        ("direction", "direction", {"representations": "represent"}, {"answers_direction": True}),
        # Ablating every layer costs some fifty passes of a prompt: a few hundred problems choose.
        ("few", "prompts", {}, problems | {"train": 256, "test": 256}),
        ("rank", "rank", {"prompts": "few"}, {"keep_layers": 6, "keep": 100}),
        ("second_order", "second_order", {"prompts": "prompts", "directions": "direction"}, {"splits": ("train",)}),
        (
            "components", "components", {"prompts": "prompts", "neurons": "rank"},
            {"largest": 64, "position": "answers", "as_published": True},
        ),
        ("decompose", "decompose", {"components": "components"}, words),
        (
            "ablate", "ablate", {"prompts": "prompts", "components": "components", "decompositions": "decompose"},
            {"as_published": True},
        ),
    )  # fmt: skip
    config.stages = tuple(
        ConfigDict({"name": stage, "driver": driver, "takes": takes, "flags": values})
        for stage, driver, takes, values in stages
    )
    return config
