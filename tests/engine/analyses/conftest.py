"""A tiny model with a tokenizer of letters, and transcoders for it."""

import pytest

from causeway.engine.model.handle import Model


class Letters:
    """One token a letter, from "a" on; "." is the last of them."""

    vocab_size, bos_id, eos_id, fingerprint = 40, None, None, "letters"

    def encode(self, text: str) -> list[int]:
        return [39 if letter == "." else ord(letter) - ord("a") for letter in text]

    def decode(self, ids) -> str:
        return "".join("." if i == 39 else chr(ord("a") + i) for i in ids)


@pytest.fixture(scope="session")
def model(tiny):
    return Model(tiny.make_transformer(), Letters(), "tiny", "tiny")


@pytest.fixture(scope="session")
def transcoders(tiny):
    return tiny.make_dictionary("relu", layers=(0, 1, 2), stream="mlp_in", write_stream="mlp_out", skip=True)
