"""The benchmark of ablated heads counts the operations that are run, and runs no more of them."""

import dataclasses

import pytest

import causeway as cw
from causeway.engine.bench.heads import HeadsShape, measure_heads, needed_flops
from causeway.engine.outcome import from_clean


def test_operations_are_those_of_every_row_from_its_layer_up(tiny):
    config, shape = tiny.CONFIG, HeadsShape(prompts=5, tokens=7)
    block = 2 * (2 * 16 * 4 * 4 + 2 * 16 * 2 * 4 + 3 * 16 * 24)  # query and output, key and value, three of the MLP
    for tokens in (1, 7):
        rows = sum(tokens * (3 - layer) for layer in range(3) for _ in range(4))
        assert needed_flops(shape, config, tokens) == 5 * block * (7 * 3 + rows)
    plain = dataclasses.replace(config, gated_mlp=False)
    assert needed_flops(shape, plain, 1) < needed_flops(shape, config, 1)


@pytest.mark.slow
def test_every_head_of_every_prompt_is_run_at_the_tokens_asked_for(transformer, monkeypatch):
    ran, last = [], from_clean.last_tokens

    def watched(background, edits, prompts, **rest):
        ran.append((len(prompts), int(from_clean.first_positions(edits).min())))
        return last(background, edits, prompts, **rest)

    monkeypatch.setattr("causeway.engine.analyses.lens.effects.last_tokens", watched)
    model = cw.Model(transformer, None, "tiny", "of the tests")
    figures = measure_heads(HeadsShape(prompts=3, tokens=6), model, repeats=1, everywhere=True)
    assert (36, 5) in ran
    assert (36, 0) in ran
    assert figures["rows"] == 36
    assert figures["last_token_cpu_seconds"] > 0
