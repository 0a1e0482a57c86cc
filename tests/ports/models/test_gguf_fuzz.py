"""Damaged and hostile GGUF files: a model of finite weights of the right shapes, or one line that names the file.

Never another exception, and never much more memory than the file has bytes.
"""

import itertools
import struct
import tracemalloc

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causeway.engine.model.config import Numerics
from causeway.engine.model.transformer import abstract_transformer
from causeway.ports.models.load import load_model
from tests.ports.models.gguf_parts import LIST, TEXT, read_parts
from tests.ports.models.gguf_writer import CONFIGS, byte_level, write_both

HUGE = (1 << 15, (1 << 31) - 1, 1 << 31, (1 << 32) - 1, 1 << 40, 1 << 62, 1 << 63, (1 << 64) - 1)
# In the place of any value. Bytes are a type that there is not, a list of lists, and lengths of nothing.
WRONG = (
    "", "x" * 100_000, "two\nlines", -1, 0, 1, 3, *HUGE, 0.0, -1.5, float("nan"), float("inf"), 1e-30, True, False,
    [], [1, 2], ["a", "b"], [0.5], [1 << 40], struct.pack("<I", 99), struct.pack("<IIQ", LIST, LIST, 1),
    *(struct.pack("<IIQ", LIST, kind, 1 << 60) for kind in (0, 4, TEXT)), struct.pack("<IQ", TEXT, 1 << 60),
)  # fmt: skip
ADDED = (
    "general.alignment", "tokenizer.ggml.bos_token_id", "tokenizer.ggml.add_bos_token", "llama.rope.scaling.type",
    "tokenizer.ggml.add_space_prefix", "tokenizer.ggml.eot_token_id", "llama.rope.scaling.factor", "llama.vocab_size",
    "llama.attention.value_length", "llama.two\nlines", "llama." + 300 * "x",
)  # fmt: skip
MEMORY = 1 << 24
# A warning is a line too.
pytestmark = pytest.mark.filterwarnings("error")


def chatting(writer):
    byte_level(writer)
    writer.add_chat_template("{{ messages }}")


def sentencepiece(writer):
    writer.add_tokenizer_model("llama")
    writer.add_token_list(["<unk>", "<s>", "</s>", *"abcdefg", "ab", "\u2581"])
    writer.add_token_types([2, 3, 3] + [1] * 9)
    writer.add_token_scores([0.0] * 12)
    writer.add_bos_token_id(1)


@pytest.fixture(scope="module")
def parts_of(tmp_path_factory):
    """The parts of a file of an architecture, with quantised matrices and a tokenizer."""

    def parts(name, change=chatting):
        folder = tmp_path_factory.mktemp("parts")
        fused = name in ("gpt2", "gptneox", "phi3")
        types = {"blk.0.attn_qkv.weight": "Q8_0"} if fused else {"blk.0.attn_q.weight": "Q4_0"}
        types["blk.1.ffn_up.weight"] = "Q8_0"
        write_both(name, folder / "folder", folder / "m.gguf", change=change, types=types)
        return read_parts(folder / "m.gguf")

    return parts


@pytest.fixture(scope="module")
def attempt(tmp_path_factory):
    """`attempt(content)`: whether a file of that content is loaded; a failure where it is neither that nor refused."""
    folder, number = tmp_path_factory.mktemp("files"), iter(range(1 << 30))

    def attempt(content):
        path = folder / f"m{next(number)}.gguf"  # parsed files are kept by their names
        path.write_bytes(content)
        model, refusal = None, None
        try:
            model = load_model(path)
        except (ValueError, OSError) as error:
            refusal = error
        path.unlink()
        if refusal is not None:
            assert str(path) in str(refusal)
            assert str(refusal).isprintable()
            assert len(str(refusal)) < 1000
            assert type(refusal.__cause__).__name__ != "PanicException", "a library wrote more than the line"
            return False
        wanted = abstract_transformer(model.config, Numerics())
        for leaf, abstract in zip(jax.tree.leaves(model.transformer), jax.tree.leaves(wanted), strict=True):
            assert leaf.shape == abstract.shape
            assert np.isfinite(leaf).all()
        return True

    return attempt


@st.composite
def damages(draw):
    """What is done to a header: cut, bits turned, a number written over it, bytes taken out or put in."""
    place, kind = draw(st.floats(0, 1, exclude_max=True)), draw(st.sampled_from(("cut", "turn", "write", "out", "in")))

    def damage(header, rest):
        at = int(place * len(header))
        if kind == "cut":
            return header[:at]
        after = {"turn": len(bits), "write": width, "out": len(bits), "in": 0}[kind]
        middle = {"turn": bytes(a ^ b for a, b in zip(header[at:], bits, strict=False)), "write": number, "out": b"",
                  "in": bits}[kind]  # fmt: skip
        return header[:at] + middle + header[at + after :] + rest

    bits, width = draw(st.binary(min_size=1, max_size=8)), draw(st.sampled_from((1, 2, 4, 8)))
    number = (draw(st.sampled_from((0, 1, *HUGE))) % (1 << 8 * width)).to_bytes(width, "little")
    return damage


def check_damaged(parts, attempt, examples):
    @settings(max_examples=examples)
    @given(damage=damages())
    def check(damage):
        header = parts.header()
        attempt(damage(header, parts.content()[len(header) :]))

    check()


@pytest.mark.slow
@pytest.mark.parametrize("change", [chatting, sentencepiece])
@pytest.mark.parametrize("name", CONFIGS)
def test_a_damaged_header(name, change, parts_of, attempt):
    check_damaged(parts_of(name, change), attempt, 500)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.9999])
def test_a_cut_file(share, parts_of, attempt):
    content = parts_of("llama").content()
    assert attempt(content)
    assert not attempt(content[: int(share * len(content))])


def check_values(parts, attempt, added=ADDED):
    for key in (*dict(parts.keys), *added):
        for wrong in WRONG:
            attempt(parts.with_key(key, wrong).content())
    for key, held in parts.keys:
        assert not attempt(parts.changed(keys=[*parts.keys, (key, held)]).content()), f"{key} twice"
        attempt(parts.changed(keys=[pair for pair in parts.keys if pair[0] != key]).content())


@pytest.mark.slow
@pytest.mark.parametrize("change", [chatting, sentencepiece])
@pytest.mark.parametrize("name", CONFIGS)
def test_wrong_values(name, change, parts_of, attempt):
    check_values(parts_of(name, change), attempt)


def test_some_wrong_values(parts_of, attempt):
    """Some kinds of values in the place of each key of one family; `test_wrong_values` has all of all."""
    parts, kinds = parts_of("llama"), itertools.cycle(WRONG)
    for key in (*dict(parts.keys), *ADDED):
        for wrong in itertools.islice(kinds, 5):
            attempt(parts.with_key(key, wrong).content())
    for key, held in parts.keys:
        assert not attempt(parts.changed(keys=[*parts.keys, (key, held)]).content()), f"{key} twice"


@pytest.mark.parametrize("wanted", ["output_norm.weight", "blk.0.attn_q.weight", "blk.1.ffn_up.weight"])
def test_wrong_tensors(wanted, parts_of, attempt):
    parts = parts_of("llama")
    number = next(i for i, tensor in enumerate(parts.tensors) if tensor[0] == wanted)
    name, axes, kind, place = parts.tensors[number]
    other = parts.tensors[0 if number else 1]
    wrong = [(name, axes, kind, at) for at in (other[3], len(parts.data), *HUGE)]
    wrong += [(name, (size, *axes[1:]), kind, place) for size in (0, axes[0] + 32, *HUGE)]
    wrong += [(name, shape, kind, place) for shape in ((), (*axes, 1, 1, 1), (1 << 32, 1 << 32), (1 << 62, 2, 2, 2))]
    wrong += [(title, axes, kind, place) for title in (other[0], "", b"\xff", "x" * 100_000, "two\nlines")]
    wrong += [(name, axes, number, place) for number in (4, 24, 27, 42, 255, *HUGE[:4])]
    for tensor in wrong:
        assert not attempt(parts.with_tensor(number, tensor).content()), tensor
    for number_of_kind in range(42):
        attempt(parts.with_tensor(number, (name, axes, number_of_kind, place)).content())


def test_wrong_counts(parts_of, attempt):
    parts = parts_of("llama")
    for counts in [
        (len(parts.tensors) + more, len(parts.keys) + others) for more in (-1, 0, 1) for others in (-1, 0, 1)
    ]:
        assert attempt(parts.changed(counts=counts).content()) == (counts == (len(parts.tensors), len(parts.keys)))
    for huge in HUGE:
        assert not attempt(parts.changed(counts=(huge, len(parts.keys))).content())
        assert not attempt(parts.changed(counts=(len(parts.tensors), huge)).content())


@pytest.mark.parametrize("kind", ["F32", "Q8_0"])
def test_numbers_that_are_not_finite(kind, parts_of, attempt):
    parts = parts_of("llama")
    name = "blk.1.ffn_up.weight" if kind == "Q8_0" else "output_norm.weight"
    place = next(tensor[3] for tensor in parts.tensors if tensor[0] == name)
    assert not attempt(parts.changed(data=parts.data[:place] + b"\xff" * 4 + parts.data[place + 4 :]).content())


def test_what_a_file_claims_is_not_allocated(parts_of, attempt):
    parts = parts_of("llama")
    name, axes, kind, place = parts.tensors[3]
    files = [parts.with_key(key, wrong) for key in ("llama.block_count", "tokenizer.ggml.tokens") for wrong in WRONG]
    files += [parts.with_key(f"llama.{key}", huge) for key in ("vocab_size", "context_length") for huge in HUGE]
    files += [parts.with_tensor(3, (name, (huge, *axes[1:]), kind, place)) for huge in HUGE]
    files += [parts.changed(counts=counts) for huge in HUGE for counts in ((huge, 1), (1, huge))]
    attempt(parts.content())
    tracemalloc.start()
    for file in files:
        content = file.content()
        tracemalloc.reset_peak()
        before, _ = tracemalloc.get_traced_memory()
        attempt(content)
        assert tracemalloc.get_traced_memory()[1] - before < MEMORY
    tracemalloc.stop()
