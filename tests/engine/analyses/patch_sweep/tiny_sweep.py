"""A patching sweep of seconds: the tiny decoder, its dictionaries, four prompts as token ids, six features."""

import dataclasses

import numpy as np

from causeway.engine.analyses.patch_sweep.arms import KINDS, make_arms
from causeway.engine.analyses.patch_sweep.design import FeatureSet
from causeway.engine.analyses.patch_sweep.patch_sweep import PatchSweep
from causeway.engine.analyses.patch_sweep.recording import make_recording
from causeway.engine.analyses.patch_sweep.settings import SweepSettings
from causeway.engine.devices import local_parallel
from causeway.engine.model.handle import Model
from causeway.engine.model.sampling import Sampling
from causeway.engine.outcome.answers import Answer
from causeway.engine.prompt_record import PromptRecord
from causeway.engine.tokenized_prompt import TokenizedPrompt

# Tokens that this model draws often.
ANSWERS = (Answer("3 2", "stop"), Answer("3 13", "stop"), Answer("24", "bet", 10.0), Answer("11", "bet", 20.0))
ANSWER_TOKENS = ((3, 2), (3, 13), (24,), (11,))
GROUPS = ("safe", "risky")
STOP = 36


def make_features() -> FeatureSet:
    """Three features of each dictionary, listed out of order; two values."""
    rng = np.random.default_rng(3)
    values = {"safe": rng.uniform(0, 1, 6), "risky": rng.uniform(2, 4, 6)}
    return FeatureSet(np.array([2, 0, 0, 2, 2, 0]), np.array([7, 20, 3, 1, 12, 11]), values)


def make_prompts(count: int = 4) -> tuple[TokenizedPrompt, ...]:
    """Prompts of 5 to 8 tokens in turn of two groups, ids from 10 on."""
    rng = np.random.default_rng(4)
    return tuple(
        TokenizedPrompt(
            PromptRecord("", ANSWERS, group=GROUPS[i % 2]),
            tuple(rng.integers(8, 40, 5 + i % 4).tolist()),
            ANSWER_TOKENS,
            10 + i,
        )
        for i in range(count)
    )


def make_sweep(
    transformer, dictionary, outcome="exact", kinds=KINDS, *, devices=1, parallel="shard_map", record="",
    top_logits=0, prompts=None, features=None, draws=1, doses=(0.5,), **settings,
) -> PatchSweep:  # fmt: skip
    """A sweep; what is not named is small."""
    features = features or make_features()
    # Edits go on at the answer's tokens: of the scopes that begin at the prompt's end, the one that asks most.
    given = {"rows": 8, "unit_buckets": 2, "segments": (), "scope": "last_prompt_and_decode"}
    if outcome == "sampled":
        sampling = Sampling(1.0, stop_tokens=(STOP,))
        recording = make_recording(record, dictionary, features, top_logits)
        given |= {"trials": 2, "segments": (2, 2), "sampling": sampling, "recording": recording}
    return PatchSweep(
        Model(transformer, None, "tiny", "of the tests"), dictionary, prompts or make_prompts(), features,
        SweepSettings(outcome, make_arms(kinds, tuple(features.values), doses, draws), **given | settings),
        local_parallel(devices, parallel),
    )  # fmt: skip


def stacked(sweep: PatchSweep, unit, order=None) -> tuple[dict, dict]:
    """All units' columns and arrays in the plan's order, whatever the order of computing."""
    count = sweep.plan.units
    results = {index: unit(sweep, index) for index in (range(count) if order is None else order)}
    columns = {name: _column([value for i in range(count) for value in results[i].rows[name]])
               for name in results[0].rows}  # fmt: skip
    arrays = {name: np.concatenate([results[i].arrays[name] for i in range(count)]) for name in results[0].arrays}
    return columns, arrays


def _column(values: list) -> np.ndarray:
    """Any values as an array [rows]; lists stay whole."""
    column = np.empty(len(values), object)
    column[:] = values
    return column


def same_bits(a: tuple[dict, dict], b: tuple[dict, dict]) -> bool:
    """Whether two computed sweeps are equal to the bit."""
    columns = all(list(map(_bits, a[0][n])) == list(map(_bits, b[0][n])) for n in a[0].keys() | b[0].keys())
    return columns and all(a[1][n].tobytes() == b[1][n].tobytes() for n in a[1].keys() | b[1].keys())


def _bits(value):
    return np.float64(value).tobytes() if isinstance(value, float | np.floating) else value


def changed(prompt: TokenizedPrompt, record=(), **changes) -> TokenizedPrompt:
    """A prompt with some fields, or some of its record, changed."""
    return dataclasses.replace(prompt, record=dataclasses.replace(prompt.record, **dict(record)), **changes)
