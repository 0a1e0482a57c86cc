"""Labels and sides: where they come from, what the median is of, and what is refused."""

import numpy as np
import pytest

from causeway.engine.analyses.errors.labels import Labels
from causeway.engine.prompt_record import PromptRecord


def records(fields, splits=("train", "test"), per_group=1):
    return [
        PromptRecord(f"p{i}", split=splits[i % len(splits)], id=f"p{i}", group=f"g{i // per_group}", fields=own)
        for i, own in enumerate(fields)
    ]


MIXED = [{"correct": i % 3 > 0, "margin": float(i)} for i in range(24)]


def test_labels_are_the_field_correct_and_prompts_without_it_are_left_out():
    given = Labels().of(records([*MIXED, {"margin": 3.0}, {"correct": None}]))
    assert given.right.tolist() == [i % 3 > 0 for i in range(24)]
    assert given.numbers.tolist() == list(range(24))
    assert given.without == 2
    assert given.choose.tolist() == [True, False] * 12


def test_a_source_of_labels_is_taken_in_their_stead():
    fields = [{"correct": True, "margin": (-1.0) ** (i // 2), "generated_correct": i % 4 > 1} for i in range(24)]
    assert Labels(source="margin").of(records(fields)).right.tolist() == [i // 2 % 2 == 0 for i in range(24)]
    assert Labels(source="generated").of(records(fields)).right.tolist() == [i % 4 > 1 for i in range(24)]


def test_graded_labels_are_cut_at_the_median_of_the_prompts_that_choose():
    margins = np.random.default_rng(1).normal(size=80)
    given = Labels("margin").of(records([{"margin": float(m)} for m in margins]))
    assert given.cut == np.median(margins[::2])
    assert given.right.tolist() == (margins > given.cut).tolist()
    moved = np.where(np.arange(80) % 2, margins * 3 + 0.2, margins)
    assert Labels("margin").of(records([{"margin": float(m)} for m in moved])).cut == given.cut


def test_prompts_of_other_splits_stand_on_no_side():
    given = Labels().of(records(MIXED * 2, ("train", "test", "train", "test", "spare")))
    assert len(given.records) == sum(i % 5 != 4 for i in range(48))
    assert [given.records[i].id for i in range(5)] == [f"p{n}" for n in given.numbers[:5]]


@pytest.mark.parametrize(
    ("labels", "fields", "message"),
    [
        (Labels(), [{"margin": 1.0}] * 24, "prompts: none of 24 has a label; needs the metadata.jsonl"),
        (Labels(), [{"correct": True}] * 24, "labels: none of the 12 prompts that choose is wrong; needs 4 groups"),
        (Labels(), [{"correct": False}] * 24, r"none of the 12 prompts that choose is right.*labels margin"),
        (Labels(), [{"correct": i > 3} for i in range(24)], "prompts of 2 groups that choose are wrong"),
        (Labels("margin"), [{"margin": 1.0}] * 24, "that choose is margin above the median"),
        (Labels(strata=("kind",)), MIXED, "strata: prompt 'p0' has no field 'kind'; it has behaviour, correct"),
        (Labels(strata=("margin",)), MIXED, "strata: no value has right and wrong answers among the prompts"),
        (Labels(fit_split="dev"), MIXED, "fit_split: no prompt of split 'dev'"),
        (Labels(source="nobody"), MIXED, "label_source: got 'nobody'"),
    ],
)
def test_what_tells_nothing_apart_is_refused(labels, fields, message):
    with pytest.raises(ValueError, match=message):
        labels.of(records(fields))


def test_all_right_on_the_side_that_judges_is_refused_too():
    with pytest.raises(ValueError, match="none of the 12 prompts that judge is wrong"):
        Labels().of(records([{"correct": bool(i % 2 or i % 3)} for i in range(24)]))


def test_unknown_labels_and_a_source_beside_graded_ones_are_refused():
    with pytest.raises(ValueError, match="labels: got 'best'; needs one of correct, margin"):
        Labels("best")
    with pytest.raises(ValueError, match="label_source: got 'generated'; graded labels are margins"):
        Labels("margin", "generated")
