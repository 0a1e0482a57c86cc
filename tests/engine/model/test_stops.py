"""What ends rollouts: ids, and texts however they are cut into tokens; nothing else about a row changes."""

import numpy as np
import pytest

import causeway as cw
from causeway.engine.model.handle import Model
from causeway.engine.model.stops import Stops, stops_of

PROMPT = [7, 31, 2, 19]


class Syllables:
    """Token i is two letters, such as "ka"; the end of sequence is 39."""

    vocab_size, bos_id, eos_id, fingerprint = 40, None, 39, "syllables"

    def encode(self, text: str, unknown: bool = False) -> list[int]:
        return [8 * "aeiou".index(text[i + 1]) + "bdkmnrst".index(text[i]) for i in range(0, len(text), 2)]

    def decode(self, ids) -> str:
        return "".join("bdkmnrst"[i % 8] + "aeiou"[i // 8] for i in ids)


@pytest.fixture(scope="module")
def model(transformer):
    return Model(transformer, Syllables(), "syllables", "f")


def drawn(model, stop, **changes):
    given = {"max_new_tokens": 20, "temperature": 1.0, "trials": 6, "rows": 2, "seed": 3, "taps": [cw.Tap("resid_mid")]}
    return cw.generate(model, PROMPT, stop=stop, **given | changes)[0]


@pytest.mark.slow
def test_a_text_ends_each_row_with_the_token_that_completes_it(model):
    """Against the same rows run on to the end and cut by hand, whether the text is one token, several or half of one;
    rows of 2, 6 trials and segments of 16 and 4, so that rows leave between segments and others move."""
    free = drawn(model, ())
    assert (free.generation.tokens >= 0).all()
    texts = free.texts[0]
    for stop in (texts[0][2:4], texts[1][3:7], texts[2][6:7], texts[3][-3:]):
        found = drawn(model, [stop])
        for row, (text, own) in enumerate(zip(texts, found.texts[0], strict=True)):
            end = text.find(stop)
            kept = 20 if end < 0 else -(-(end + len(stop)) // 2)
            ends = np.flatnonzero(free.generation.tokens[row] == 39)
            kept = min(kept, ends[0] + 1) if len(ends) else kept
            tokens = free.generation.tokens[row, :kept]
            np.testing.assert_array_equal(found.generation.tokens[row], [*tokens, *[-1] * (20 - kept)])
            assert own == model.continuation(PROMPT, tokens.tolist())
            record, whole = found.generation.records[0], free.generation.records[0]
            assert record.values[row, :kept].tobytes() == whole.values[row, :kept].tobytes()
            assert not record.values[row, kept:].any()
            np.testing.assert_array_equal(record.valid[row], np.arange(20) < kept)
    assert any(stop not in text for text in texts)


def test_ids_end_rows_as_the_models_own_do(model, transformer):
    free = drawn(model, ()).generation.tokens
    token = int(free[0, 3])
    found = drawn(model, token).generation
    for row, tokens in enumerate(free):
        ends = np.flatnonzero(np.isin(tokens, (token, 39)))
        kept = ends[0] + 1 if len(ends) else 20
        np.testing.assert_array_equal(found.tokens[row], [*tokens[:kept], *[-1] * (20 - kept)])
    own = Model(transformer, Syllables(), "syllables", "f", own_stops=(39, token))
    np.testing.assert_array_equal(drawn(own, None).generation.tokens, found.tokens)


def test_stops_are_beside_the_models_own_and_an_empty_list_is_none(model):
    assert stops_of(model) == Stops((39,))
    assert stops_of(model, ()) == stops_of(model, []) == Stops()
    assert stops_of(model, 4) == stops_of(model, [4, np.int64(4)]) == Stops((39, 4))
    assert stops_of(model, "ka") == Stops((39,), ("ka",))
    assert stops_of(model, ["\n", 4]) == Stops((39, 4), ("\n",))


def test_what_cannot_stop_is_refused(model, transformer, refuses):
    for stop, message in (
        ("", "stop: got an empty text"), (40, "stop: got 40; needs a whole number from 0 to 39"),
        ([-1], "stop: got -1"), (1.5, "stop: got 1.5"), (b"a", "stop: got b'a'"), ([None], "stop: got None"),
        (True, "stop: got True"),
    ):  # fmt: skip
        with refuses(message):
            drawn(model, stop)
    with refuses("stop: got the text 'a', but ids has no tokenizer"):
        stops_of(Model(transformer, None, "ids", "f"), "a")
