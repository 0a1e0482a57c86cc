"""Every call that runs a model refuses what is not numbers, at the layer and site where that began, and only then.

One model's middle layer is scaled until it overflows; the same model as it was has NaN at the token that pads and fills
up, which no prompt has.
"""

import dataclasses
import re

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.analyses.as_published.attribution import published_attribution
from causeway.engine.analyses.attribute.attribute import attribute
from causeway.engine.analyses.evaluate.teacher_forcing import answer_log_probabilities
from causeway.engine.analyses.features.extract import extract_features
from causeway.engine.analyses.features.positions import Positions
from causeway.engine.analyses.inspect.account import dictionary_account
from causeway.engine.analyses.intervene.intervene import intervene
from causeway.engine.analyses.screen.activations import group_sums
from causeway.engine.analyses.virtual_weights.virtual_weights import coactivation, virtual_weights
from causeway.engine.calls.generate import generate
from causeway.engine.calls.run import run
from causeway.engine.dictionary.dictionary import Dictionary
from causeway.engine.intervention.requests import FeatureEdit
from causeway.engine.intervention.sites import STREAMS
from causeway.engine.intervention.tap_requests import Tap
from causeway.engine.model.config import Numerics
from causeway.engine.model.finite import NotFiniteError, all_finite
from causeway.engine.model.handle import Model
from causeway.engine.outcome.answers import Answer, answer_tree
from causeway.engine.outcome.exact import clean_tree
from causeway.engine.prompt_record import PromptRecord, pair
from causeway.engine.tokenized_prompt import TokenizedPrompt
from causeway.engine.train.batches import Batch
from causeway.engine.train.corpus import Corpus
from causeway.engine.train.harvest import Source
from causeway.engine.train.language_model import Schedule, train
from causeway.engine.train.quality import measure_quality
from causeway.engine.train.splice_loss import clean_loss

# Token 0 pads prompts and fills up batches.
PROMPT = [7, 31, 2, 19, 19, 5, 38]
PROMPTS = [PROMPT, PROMPT[:4], PROMPT[2:]]
# weights scaled -> the site that cannot be before it
# Gemma-2 has a norm after what attention and MLP write.
INJECTED = {"attention.output": "attn_raw", "mlp.down": "mlp_raw", "mlp.up": "mlp_act", "attention.qkv": "query"}


@dataclasses.dataclass
class Tools:
    """Dictionaries of the tiny model, for the calls below."""

    saes: Dictionary
    transcoders: Dictionary
    edit = FeatureEdit(0, 3, 2.0)

    def corpus(self) -> Corpus:
        tokens = np.zeros((3, 8), np.int32)
        for row, prompt in enumerate(PROMPTS):
            tokens[row, : len(prompt)] = prompt
        return Corpus(tokens, np.array([len(prompt) for prompt in PROMPTS], np.int32), 1)

    def batches(self, step) -> tuple[Batch, ...]:
        return (Batch(np.array([PROMPT, PROMPT[::-1]], np.int32), np.ones((2, len(PROMPT)), np.float32)),)


def labelled():
    return [TokenizedPrompt(PromptRecord("", group=g), tuple(prompt)) for prompt in PROMPTS for g in ("a", "b")]


CALLS = {
    "run": lambda m, t: run(m, PROMPTS, taps=[Tap("resid_post")]),
    "run edited": lambda m, t: run(m, [PROMPT], edits=[t.edit], dictionary=t.saes),
    "generate": lambda m, t: generate(m, [PROMPT], max_new_tokens=3, rows=2),
    "generate from the first token on": lambda m, t: generate(
        m, [PROMPT], edits=[t.edit], dictionary=t.saes, max_new_tokens=3, rows=2
    ),
    "exact outcomes": lambda m, t: clean_tree(
        m.transformer, PROMPT, answer_tree(PROMPT[-1], (Answer("1", "a"), Answer("2", "b")), ((1, 4, 3), (2,)))
    ),
    "features": lambda m, t: extract_features(
        m.transformer, t.saes, [Positions(2).row(p) for p in PROMPTS], top_k=3, batch_rows=4
    ),
    "screen, last token": lambda m, t: group_sums(m.transformer, t.saes, labelled(), ("a", "b"), rows=8),
    "screen, mean": lambda m, t: group_sums(m.transformer, t.saes, labelled(), ("a", "b"), rows=8, position="mean"),
    "evaluate": lambda m, t: answer_log_probabilities(
        m.transformer, [TokenizedPrompt(pair("", "a", "b"), tuple(PROMPT), ((3, 4), (5,)))], rows=2
    ),
    "attribute": lambda m, t: attribute(m, t.transcoders, PROMPT),
    "coactivation": lambda m, t: coactivation(m, t.transcoders, [PROMPT], 0, 2),
    "documented attribution": lambda m, t: published_attribution(m, t.transcoders, PROMPT, 3),
    "intervene": lambda m, t: intervene(m, PROMPT, t.transcoders, [(0, 2, 3, 1.0)]),
    "harvest": lambda m, t: Source(m.transformer, t.corpus(), "resid_post", (2,)).read(np.arange(3)),
    "loss": lambda m, t: clean_loss(m.transformer, t.corpus()),
    "quality": lambda m, t: measure_quality(m.transformer, t.saes, t.corpus()),
    "train": lambda m, t: train(m.transformer, t.batches, Schedule(steps=2, warmup_steps=1)),
}  # fmt: skip


@pytest.fixture(scope="module")
def tools(tiny):
    return Tools(
        tiny.make_dictionary(), tiny.make_dictionary("relu", (0, 1, 2), "mlp_in", write_stream="mlp_out", seed=4)
    )


def named(transformer) -> Model:
    return Model(transformer, None, "tiny", "of the tests", prepend_bos=False)


def scaled(tiny, path: str, factor: float = 1e38, layer: int = 1, **changes):
    """The tiny model with one layer's weights grown."""
    transformer = tiny.make_transformer(tied_embeddings=False, **changes)
    module, name = path.split(".")
    parameter = getattr(getattr(transformer.blocks, module), name)
    parameter.value = parameter[...].at[layer].multiply(factor)
    return transformer


def names_middle_layer(error: NotFiniteError, path: str) -> bool:
    """One line that names layer 1 and a site there that is not before the injected one."""
    found = re.search(r"layer 1 (\w+) (is not finite|reaches)", str(error))
    return bool(found) and STREAMS.index(found[1]) >= STREAMS.index(INJECTED[path]) and "\n" not in str(error)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_a_layer_that_overflows_is_named_by_every_call(call, tiny, tools):
    with pytest.raises(NotFiniteError) as caught:
        CALLS[call](named(scaled(tiny, "mlp.down")), tools)
    assert names_middle_layer(caught.value, "mlp.down"), str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("call", CALLS)
def test_what_pads_and_fills_up_alarms_nobody(call, tiny, tools):
    transformer = scaled(tiny, "mlp.down", 1.0)
    transformer.embedding.value = transformer.embedding[...].at[0].set(jnp.nan)
    CALLS[call](named(transformer), tools)


@pytest.mark.parametrize("path", INJECTED)
@pytest.mark.parametrize(
    "family", ["llama", *(pytest.param(n, marks=pytest.mark.slow) for n in ("gpt2", "gpt_neox", "gemma2", "qwen3"))]
)
def test_every_family_names_the_site(path, family, tiny):
    """Norms behind attention and MLP, a norm of queries and keys, and parallel blocks hide nothing."""
    changes = tiny.FAMILIES[family] | {"windows": ()}
    with pytest.raises(NotFiniteError) as caught:
        run(named(scaled(tiny, path, **{k: v for k, v in changes.items() if k != "tied_embeddings"})), [PROMPT])
    assert names_middle_layer(caught.value, path), str(caught.value)


@pytest.mark.slow
@pytest.mark.parametrize("call", ["run", "generate", "evaluate"])
def test_float16_says_what_to_do(call, tiny, tools):
    transformer = scaled(tiny, "mlp.down", 1e5, numerics=Numerics("float32", "float16"))
    with pytest.raises(NotFiniteError, match=r"layer 1 \w+ is not finite in float16.*65504.*bfloat16 or float32"):
        CALLS[call](named(transformer), tools)
    CALLS[call](named(scaled(tiny, "mlp.down", 1e5)), tools)


def test_a_square_that_overflows_is_not_taken_for_nothing(tiny):
    """Values of 1e25 are numbers in float32, and so would be the logits: the norm divides by infinity and gives 0."""
    with pytest.raises(NotFiniteError, match=r"layer 1 mlp_out reaches [0-9.]+e\+2\d, too large for float32"):
        run(named(scaled(tiny, "mlp.down", 1e25)), [PROMPT])


@pytest.mark.parametrize("mode", ["delta", "replace"])
@pytest.mark.parametrize("semantics", ["cached", pytest.param("recomputed", marks=pytest.mark.slow)])
def test_an_edit_that_overflows_is_named_with_its_row(mode, semantics, transformer, tools):
    arms = [[FeatureEdit(0, 3, value, scope="last_prompt_and_decode")] for value in (1.0, 3e38)]
    with pytest.raises(NotFiniteError, match=r"layer 0 resid_post .*the edit there makes it so") as caught:
        generate(
            named(transformer), [PROMPT], arms=arms, dictionary=tools.saes, mode=mode, semantics=semantics,
            max_new_tokens=3, rows=2,
        )  # fmt: skip
    assert caught.value.row == 1


# Where norms are held, no square is taken and the largest values there are pass.
@pytest.mark.slow
@pytest.mark.parametrize("mode", ["open", "freeze_attention"])
def test_an_intervention_that_overflows_is_named(mode, transformer, tools):
    with pytest.raises(NotFiniteError, match=r"layer 1, position 2, feature 3 and 1 more: layer 1 .*the edit there"):
        intervene(named(transformer), PROMPT, tools.transcoders, [(1, 2, 3, 3e38), (1, 2, 4, 3e38)], mode)


def broken_dictionary(dictionary: Dictionary, array: str, value=jnp.nan) -> Dictionary:
    """A copy with one entry of layer 2 broken."""
    arrays = {name: getattr(dictionary, name)[...] for name in ("W_enc", "b_enc", "W_dec", "b_dec")}
    place = (dictionary.config.layers.index(2), *(3 for _ in arrays[array].shape[1:]))
    arrays[array] = arrays[array].at[place].set(value)
    threshold = dictionary.threshold[...] if hasattr(dictionary, "threshold") else None
    return Dictionary(dictionary.config, **arrays, threshold=threshold)


@pytest.mark.parametrize("array", ["W_enc", "b_enc"])
@pytest.mark.parametrize("call", ["features", "screen, last token", "screen, mean", "quality"])
def test_a_dictionary_that_is_not_finite_is_named_where_it_is_read(array, call, transformer, tools):
    """A JumpReLU does not make 0 of NaN."""
    with pytest.raises(NotFiniteError, match="layer 2"):
        CALLS[call](named(transformer), dataclasses.replace(tools, saes=broken_dictionary(tools.saes, array)))


@pytest.mark.parametrize("array", ["W_enc", "W_dec"])
def test_weights_alone(array, transformer, tools):
    broken = broken_dictionary(tools.transcoders, array)
    with pytest.raises(NotFiniteError, match=f"layer 2 .*{array}" if array == "W_enc" else "not finite"):
        virtual_weights(transformer, broken, 1, 2) if array == "W_enc" else attribute(
            named(transformer), broken, PROMPT
        )
    with pytest.raises(NotFiniteError, match=f"dictionary of layer 2: {array}"):
        dictionary_account(broken)


@pytest.mark.slow
def test_features_read_on_the_way_are_looked_at(transformer, tools):
    taps, saes = [Tap("resid_post", "all")], broken_dictionary(tools.saes, "b_enc", jnp.inf)
    for call in (
        lambda: run(named(transformer), [PROMPT], taps=taps, dictionary=saes),
        lambda: generate(named(transformer), [PROMPT], taps=taps, dictionary=saes, max_new_tokens=2, rows=2),
    ):
        with pytest.raises(NotFiniteError, match="layer 2 resid_post read by all is not finite"):
            call()


def test_a_large_sum_of_numbers_is_no_alarm():
    assert all_finite(np.full(4, 3e38, np.float32))
    assert all_finite(np.full(100, 6e4, np.float16))
    for bad in (np.inf, -np.inf, np.nan):
        assert not all_finite(np.array([1.0, bad, -bad]))
    assert all_finite(np.zeros((0, 3)))
