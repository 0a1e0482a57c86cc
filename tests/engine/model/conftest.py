"""Generation at one layout, so that the tests of this folder share its compiled programs."""

from functools import partial

import numpy as np
import pytest

from causeway.engine.intervention.taps import TapSpec, bind_tap
from causeway.engine.model.generate import generate_rows
from causeway.engine.model.sampling import Sampling
from causeway.engine.model.segments import Layout


@pytest.fixture(scope="session")
def taps(dictionary, tiny):
    """Features of layers 2 and 0 (in that order), and logits."""
    logits = bind_tap(TapSpec("logits", "raw", (tiny.CONFIG.num_layers,)), None)
    return bind_tap(TapSpec("resid_post", "all", (2, 0)), dictionary), logits


@pytest.fixture(scope="session")
def draw(transformer, dictionary, taps, tiny):
    """`generate_rows` in buckets of 4 rows and three segments, with stop tokens; keywords change the call."""
    usual = {
        "layout": Layout(4, (2, 3, 2)), "sampling": Sampling(1.5, stop_tokens=(3, 4, 5, 6)), "seed": 1, "prompt_id": 0,
        "dictionary": dictionary, "taps": taps,
    }  # fmt: skip

    def call(edit, prompt=tiny.PROMPT, model=transformer, **changes):
        changes = {"trials": np.arange(len(edit.layer)), "edits": (edit,)} | changes
        return partial(generate_rows, model, prompt, **usual)(**changes)

    return call
