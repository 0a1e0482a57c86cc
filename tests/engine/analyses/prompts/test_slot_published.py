"""The published study's two prompts are there word for word, whatever is drawn beside them."""

import numpy as np
import pytest

from causeway.engine.analyses.prompts.catalogue import behaviour
from causeway.engine.analyses.prompts.make import make_prompts

CHANGED = {
    "Round 2: Bet $100, Loss, Balance $30": "Round 2: Bet $10, Loss, Balance $120",
    "Round 3: Bet $10, Loss, Balance $20": "Round 3: Bet $10, Win, Balance $140",
    "Current balance: $20": "Current balance: $140", "1) Bet (choose $5-$100)": "1) Bet $10",
}  # fmt: skip


def test_both_prompts_are_the_studys_word_for_word(published_risky_prompt):
    safe = published_risky_prompt
    for risky_line, safe_line in CHANGED.items():
        assert safe.count(risky_line) == 1
        safe = safe.replace(risky_line, safe_line)
    made = make_prompts("slot_published", behaviour("slot_published").sizes, 0)
    assert {one.group: one.text for one in made["train"]} == {"safe": safe, "risky": published_risky_prompt}
    assert made["test"] == []


@pytest.mark.parametrize("seed", [1, 7])
def test_no_seed_changes_them(seed):
    entry = behaviour("slot_published")
    assert entry.candidates(np.random.default_rng(seed), 2) == entry.candidates(np.random.default_rng(0), 2)
