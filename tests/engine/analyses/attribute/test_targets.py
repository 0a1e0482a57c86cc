"""Targets as a person names them, where they continue the prompt."""

import pytest

from causeway.engine.analyses.attribute.targets import logit_difference, named_targets
from causeway.engine.model.handle import Model
from tests.engine.model.test_text import Pieces


@pytest.fixture(scope="module")
def model(transformer):
    return Model(transformer, Pieces(), "pieces", "f")


def test_texts_are_tokens_after_the_prompt(model):
    ids = model.tokens("A:")
    assert named_targets(model, "A:", [" bet", 3]) == named_targets(model, ids, [" bet", 3]) == (8, 3)
    assert named_targets(model, ids, None) is None
    difference = logit_difference(8, 3)
    assert named_targets(model, ids, difference) == named_targets(model, ids, [difference]) == (difference,)
    assert named_targets(model, ids, 8) == (8,)


def test_what_is_no_target_is_refused(model, refuses):
    for wanted, message in (
        ("139", "targets: got the text '139'; needs a list"), ([], "targets: empty"), ([1.7], "targets: got 1.7"),
        ([40], "targets: token 40 is outside the vocabulary"), ([" stop"], "' stop' is 2 tokens after the prompt"),
        ([-1], "targets: got -1"), ([True], "targets: got True"),
    ):  # fmt: skip
        with refuses(message):
            named_targets(model, "A:", wanted)
