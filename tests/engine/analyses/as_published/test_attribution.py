"""The published quantities are what the document's formulas give, by finite differences and by hand."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.as_published.attribution import (
    published_aggregate,
    published_attribution,
)
from causeway.engine.intervention.instruments import Instruments
from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.attention import attend_sequence, window_of
from causeway.engine.model.block import apply_block
from causeway.engine.model.forward import run
from causeway.engine.model.transformer import layer

STEP = 1e-5

pytestmark = pytest.mark.usefixtures("double")


@pytest.mark.parametrize(("family", "kind"), [
    ("gemma2", "skip_shuffled"), pytest.param("llama", "relu", marks=pytest.mark.slow),
    pytest.param("gpt2", "cross_layer", marks=pytest.mark.slow),
])  # fmt: skip
def test_activation_times_the_size_of_the_encoded_gradient(tiny, cases, family, kind):
    model, dictionary = cases.make_model(tiny, family), cases.make_dictionary(tiny, kind)
    found = published_attribution(model, dictionary, cases.PROMPT, 5)
    assert found.shape == (3, 24)
    x, g = _by_differences(model, cases.PROMPT, 5)
    for row, at in enumerate(dictionary.config.layers):
        encoder, bias = (np.asarray(a[...])[row] for a in (dictionary.W_enc, dictionary.b_enc))
        f = np.maximum(x[at] @ encoder + bias, 0)
        np.testing.assert_allclose(found[row], f * abs(g[at] @ encoder + bias), atol=1e-7)
    assert (found >= 0).all()
    assert found.any()


def _by_differences(model, prompt, token):
    """resid_pre at the last token, and the logit's gradient there: by adding to the stream between blocks."""
    config, transformer = model.config, model.transformer
    tap = bind_tap(TapSpec("resid_pre", "raw", tuple(range(config.num_layers))), None)
    out = run(transformer, jnp.asarray([prompt]), Instruments((), (tap,)))
    streams = np.asarray(out.records[0].values)[:, 0]
    positions = jnp.arange(len(prompt))[None]
    causal = np.tril(np.ones((len(prompt),) * 2, bool))

    def above(start, x):
        x = jnp.asarray(x)
        for index in range(start, config.num_layers):
            window = window_of(config, index)
            mask = causal if window is None else causal & (positions > positions.T - window)

            def attend(q, k, v, mask=mask):
                return attend_sequence(q, k, v, mask, config, model.numerics)

            x = apply_block(layer(transformer.blocks, index), index, x, positions, config, attend)
        return np.asarray(transformer.logits(transformer.final_norm(x)))[:, -1, token]

    gradients = []
    for index in range(config.num_layers):
        moved = np.repeat(streams[index][None], 2 * config.d_model, axis=0)
        moved[np.arange(config.d_model), -1, np.arange(config.d_model)] += STEP
        moved[config.d_model + np.arange(config.d_model), -1, np.arange(config.d_model)] -= STEP
        values = above(index, moved)
        gradients.append((values[: config.d_model] - values[config.d_model :]) / (2 * STEP))
    return streams[:, -1], np.stack(gradients)


def test_the_aggregate_keeps_frequent_features_and_averages_where_they_are():
    zero = np.zeros((2, 4))
    first, second, third = zero.copy(), zero.copy(), zero.copy()
    first[0, :3] = 5.0, 3.0, 0.005
    second[0, 1], second[1, 3] = 1.0, 2.0
    third[1, 3] = 4.0
    other = np.full((2, 4), 0.001)
    given = [(first, zero), (second, zero), (third, other), *[(zero, zero)] * 3]
    found = published_aggregate(given, (7, 3), top_k=2, min_frequency=0.34)
    assert [(int(a), int(b), int(c)) for a, b, c in zip(found.layer, found.feature, found.count, strict=True)] == [
        (3, 3, 2), (7, 1, 2),
    ]  # fmt: skip
    np.testing.assert_allclose(found.correct, [3.0, 2.0])
    np.testing.assert_allclose(found.incorrect, [0.0005, 0.0])
    assert found.prompts == 6
    assert len(published_aggregate(given, (7, 3), top_k=2, min_frequency=0.5).layer) == 0


def test_refusals(tiny, cases, refuses):
    model, dictionary = cases.make_model(tiny), cases.make_dictionary(tiny, "relu")
    for target in (-1, 40):
        with refuses(f"target: token {target} is outside"):
            published_attribution(model, dictionary, cases.PROMPT, target)
    with refuses("attributions: none"):
        published_aggregate([], (0, 1))
