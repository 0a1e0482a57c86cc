"""One prompt or several, of any usual type, are what a person means by them."""

import jax.numpy as jnp
import numpy as np
import pytest

from causeway.engine.model.handle import Model, prompt_list

IDS = [3, 4, 5]


@pytest.fixture(scope="module")
def model(transformer):
    return Model(transformer, None, "ids", "f")


def tokens(model, prompts):
    return [model.tokens(prompt) for prompt in prompt_list(prompts)]


ARRAYS = {
    "numpy": np.array,
    "int64": np.int64,
    "jax": jnp.array,
    "tuple": tuple,
    "list": list,
    "whole floats": np.float32,
}


@pytest.mark.parametrize("make", ARRAYS.values(), ids=ARRAYS)
def test_ids_of_one_prompt_and_of_several(model, make):
    assert tokens(model, make(IDS)) == [IDS]
    assert tokens(model, [make(IDS), make([7])]) == [IDS, [7]]
    assert tokens(model, make([IDS, IDS])) == [IDS, IDS]
    assert tokens(model, list(make(IDS))) == [IDS]


def test_torch_ids(model):
    torch = pytest.importorskip("torch")
    assert tokens(model, torch.tensor(IDS)) == tokens(model, list(torch.tensor(IDS))) == [IDS]
    assert tokens(model, torch.tensor([IDS, IDS])) == [IDS, IDS]
    assert model.tokens(torch.tensor(IDS)) == IDS


def test_texts():
    assert prompt_list("abc") == ["abc"]
    assert prompt_list(["abc", [1, 2]]) == ["abc", [1, 2]]
    assert prompt_list(np.array(["abc", "d"])) == ["abc", "d"]
    assert prompt_list(iter(["abc"])) == ["abc"]


@pytest.mark.parametrize(
    ("prompts", "message"),
    [
        (b"abc", "prompts: got b'abc'; needs texts or lists of token ids"),
        ([b"abc"], "prompt: got b'abc'; needs a text or a list of token ids"),
        (None, "prompts: got None"),
        (5, "prompts: got 5"),
        ({"a": 1}, "prompts: got {'a': 1}"),
        ([], "prompts: got none"),
        (np.zeros((0,), int), "prompts: got none"),
        ([[1.7, 2.2]], "prompt: token id: got 1.7; needs a whole number"),
        ([1.7, 2.2], "prompt: token id: got 1.7"),
        ([True, False], "prompt: token id: got True"),
        ([[1, 2], 3], "prompts: got .*, numbers beside prompts"),
        ([1, "a"], "prompts: got .*, numbers beside prompts"),
        ([[[1, 2]]], r"prompt: got ids of shape \(1, 2\); needs the token ids of one prompt"),
        ([[2**40]], "prompt: token id: got 1099511627776; needs a whole number"),
        ([[None]], "prompt: token id: got None"),
    ],
)
def test_what_is_no_prompt_is_refused_in_one_line(model, refuses, prompts, message):
    with refuses(message):
        tokens(model, prompts)


def test_a_list_of_texts_is_not_one_prompt(model, refuses):
    with refuses("prompt: got a list of texts .*; needs one text, or the token ids of one prompt; call it for each"):
        model.tokens(["a", "b"])
