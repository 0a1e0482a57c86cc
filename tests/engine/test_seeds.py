"""Whatever draws refuses a seed that is not one, before it draws: two seeds never draw the same."""

import numpy as np
import pytest

from causeway.engine.analyses.attribute.aggregate import AggregateSettings
from causeway.engine.analyses.intervene.settings import InterventionSettings
from causeway.engine.analyses.patch_sweep.arms import BASELINE
from causeway.engine.analyses.patch_sweep.effects import EffectSettings
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.analyses.prompts.deal import Sizes
from causeway.engine.analyses.prompts.make import make_prompts
from causeway.engine.stats.splits import held_out, selection_half
from causeway.engine.tasks import suite
from causeway.engine.tasks.play import play_games
from causeway.engine.tasks.slot_states import labelled_prompts
from causeway.engine.train.recipe import Recipe

DRAWS = {
    "aggregate": lambda seed: AggregateSettings(seed=seed),
    "prompts": lambda seed: make_prompts("arithmetic", Sizes(2, 0), seed),
    "interventions": lambda seed: InterventionSettings(seed=seed),
    "effects": lambda seed: EffectSettings(seed=seed),
    "sweep": lambda seed: SweepSettings("exact", (BASELINE,), seed=seed),
    "halves": lambda seed: selection_half(np.arange(4), seed=seed),
    "held out": lambda seed: held_out(range(4), 0.5, seed),
    "tasks": lambda seed: suite.texts("train", 2, seed),
    "games": lambda seed: play_games(lambda games, number, prompts: [" stop."] * len(games), 2, seed=seed),
    "states": lambda seed: labelled_prompts(seed, 2),
    "training": lambda seed: Recipe("topk", 8, 2, 1, seed=seed),
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_seeds_have_32_bits(draw):
    for seed in (0, 2**32 - 1, np.uint32(2**32 - 1)):
        draw(seed)
    for seed in (-1, 2**32, 2**32 + 1, 1.5, "1", True, None):
        with pytest.raises(ValueError, match=r"^seed: got .*; needs a whole number from 0 to 4294967295$"):
            draw(seed)
