"""One compiled program per bucket and segment, whatever the features, layers, prompts and trials."""

import numpy as np
import pytest

from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout

PROGRAM = "on_one_device"


@pytest.mark.slow
def test_a_bucket_and_segment_compile_once(draw, tiny, compilations):
    """Two segments of one bucket: two programs. The longest prompt is one that just fits the context."""

    # Of a vocabulary that no other test has, so that none has compiled its programs before.
    transformer = tiny.make_transformer(vocab_size=41)

    def sweep(layer, prompt_length, trial):
        rows = 3
        edit = tiny.make_edit(
            rows, 1, layer=layer, feature=np.arange(rows)[:, None] + layer, start=prompt_length - 1, shift=trial
        )
        return draw(
            edit, prompt=[1 + layer] * prompt_length, model=transformer, trials=trial + np.arange(rows), taps=(),
            prompt_id=layer, layout=Layout(2, (1, 1)), sampling=Sampling(0.0), seed=trial,
        )  # fmt: skip

    with compilations() as first:
        longest = sweep(0, 63, 0)
    assert longest.tokens.shape == (3, 2)
    assert sum(PROGRAM in name for name in first) == 2
    assert sum("prefill" in name for name in first) == 1
    with compilations() as second:
        for layer, prompt_length, trial in ((2, 63, 5), (2, 60, 1), (0, 57, 9)):
            sweep(layer, prompt_length, trial)
    assert second == []
