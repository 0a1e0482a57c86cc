"""What the tests of interventions share: exact outcomes under holds against one pass per answer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.intervention.edit_arrays import edit_arrays
from causeway.engine.intervention.hold import checked_holds
from causeway.engine.outcome.answers import Answer, answer_tree, score_answers
from causeway.engine.outcome.exact import Background, clean_tree, edited_answers, start_layer


@pytest.fixture(scope="session")
def expect_answers_of():
    """Hold the probabilities of answers under edits and holds against `log_p` (tokens -> log softmax at each)."""

    def expect(log_p, model, dictionary, prompt, edits, holds):
        lists = ([1], [2, 3], [2, 5])
        tree = answer_tree(prompt[-1], (Answer("a", "stop"), Answer("b", "bet", 10), Answer("c", "bet", 20)), lists)
        held = checked_holds(holds, model.config, dictionary)
        clean = clean_tree(model.transformer, prompt, tree, 3, held, dictionary)
        arrays = edit_arrays([edits], len(prompt), model.config, dictionary, "delta")
        start = jnp.int32(start_layer(arrays, clean))
        edges, _ = jax.jit(edited_answers)(Background(model.transformer, dictionary, clean), (arrays, start))
        found = score_answers(tree, np.asarray(edges)).log_probability[0]
        at = len(prompt) - 1
        for ids, value in zip(lists, found, strict=True):
            p = log_p([*prompt, *ids])
            assert value == pytest.approx(sum(float(p[at + step, token]) for step, token in enumerate(ids)), abs=1e-9)

    return expect
