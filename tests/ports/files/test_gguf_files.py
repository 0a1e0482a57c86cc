"""GGUF files against the gguf library's own reader, and tensors read in parts and in another order."""

import gguf
import numpy as np
import pytest

from causeway.ports.files.gguf_files import GgufFile

KINDS = ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q8_0")
VALUES = np.random.default_rng(0).standard_normal((6, 64)).astype(np.float32)
KEYS = {
    "a.uint8": 7, "a.int64": -(1 << 40), "a.float32": 0.5, "a.bool": True, "a.text": "caf\u00e9",
    "a.texts": ["", "b", "\u2581c"], "a.int32s": [3, -1, 2], "a.float32s": [0.5, 1.5], "a.bools": [True, False],
}  # fmt: skip


@pytest.fixture
def path(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "any")
    writer.add_uint8("a.uint8", KEYS["a.uint8"])
    writer.add_key_value("a.int64", KEYS["a.int64"], gguf.GGUFValueType.INT64)
    for name in ("a.float32", "a.bool"):
        getattr(writer, f"add_{name.removeprefix('a.')}")(name, KEYS[name])
    writer.add_string("a.text", KEYS["a.text"])
    for name in ("a.texts", "a.int32s", "a.float32s", "a.bools"):
        writer.add_array(name, KEYS[name])
    for kind in KINDS:
        number = gguf.GGMLQuantizationType[kind]
        writer.add_tensor(kind, gguf.quantize(VALUES, number), raw_dtype=number)
    writer.add_tensor("line", VALUES[0])
    writer.add_tensor("cube", VALUES.reshape(2, 3, 64))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return tmp_path / "a.gguf"


def test_keys_are_what_was_written(path):
    file = GgufFile(path)
    assert {name: file.value(name, type(value)) for name, value in KEYS.items()} == KEYS
    assert file.under("a.int") == {"64": KEYS["a.int64"], "32s": KEYS["a.int32s"]}
    assert file.value("a.none", int) is None


def test_a_value_of_another_kind_is_refused(path):
    for name, kind in (("a.bool", int), ("a.uint8", bool), ("a.text", list), ("a.float32", int)):
        with pytest.raises(ValueError, match=rf"a\.gguf: {name} is .*; needs a value of type {kind.__name__}"):
            GgufFile(path).value(name, kind)


def test_tensors_are_where_the_library_finds_them(path):
    file, reader = GgufFile(path), gguf.GGUFReader(path)
    assert list(file.tensors) == [tensor.name for tensor in reader.tensors]
    for tensor in reader.tensors:
        ours = file.tensors[tensor.name]
        assert (ours.stored.start, ours.stored.size) == (tensor.data_offset, tensor.n_bytes)
        assert ours.shape == tuple(reversed(tensor.shape.tolist()))
        assert ours.quantisation == tensor.tensor_type.name
        expected = gguf.dequantize(np.asarray(tensor.data), tensor.tensor_type).reshape(ours.shape)
        for values in (ours.read(), ours.view()):
            np.testing.assert_array_equal(values.astype(np.float32), expected)


PARTS = {
    "all": lambda x: x, "rows": lambda x: x[2:5], "columns": lambda x: x[:, 5:9], "turned": lambda x: x.T[7:9, 1:],
    "heads": lambda x: x.T.reshape(64, 3, 2)[:, 1:, :], "split columns": lambda x: x.reshape(6, 4, 16)[1:, 2],
    "one row": lambda x: x[3:4],
}  # fmt: skip
ORDER = np.array([1, 3, 5, 0, 2, 4])
# What is done to a tensor, and to its values; the second makes the shape that parts are of again.
CHANGES = {
    "as it is": (lambda t: t, lambda x: x),
    "transposed": (lambda t: t.transposed(), lambda x: x.T),
    "other order": (lambda t: t.reordered(ORDER), lambda x: x[ORDER]),
    "shifted": (lambda t: t.shifted(-1), lambda x: x.astype(np.float32) - np.float32(1)),
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("part", PARTS)
def test_a_part_is_copied_as_that_part_of_the_values(path, kind, change, part, monkeypatch):
    monkeypatch.setattr("causeway.ports.files.gguf_tensor.TILE", 128)
    tensor, (change, same) = GgufFile(path).tensors[kind], CHANGES[change]

    def taken(values):
        return PARTS[part](values if values.shape == VALUES.shape else values.T)

    expected = taken(same(tensor.read())).astype(np.float32)
    target = np.empty(expected.shape, np.float32)
    assert change(tensor).copy_into(target, taken)
    np.testing.assert_array_equal(target, expected)


def test_a_line_in_another_order(path):
    line = GgufFile(path).tensors["line"]
    np.testing.assert_array_equal(line.reordered(np.arange(64)[::-1]).read(), VALUES[0, ::-1])


def test_values_that_are_not_finite_are_reported(path):
    content = bytearray(path.read_bytes())
    stored = GgufFile(path).tensors["Q8_0"].stored
    content[stored.start : stored.start + 2] = b"\xff\xff"  # the scale of the first block
    path.write_bytes(content)
    target = np.empty((6, 64), np.float32)
    assert not GgufFile(path).tensors["Q8_0"].copy_into(target, lambda values: values)


def test_a_file_that_has_shrunk_is_refused(path):
    tensors = GgufFile(path).tensors
    with path.open("r+b") as file:
        file.truncate(100)
    for kind in ("F32", "Q8_0"):
        with pytest.raises(ValueError, match=r"a\.gguf: has shrunk from \d+ to 100 bytes since it was opened"):
            tensors[kind].read()


def test_the_other_byte_order(path):
    content = bytearray(path.read_bytes())
    content[4:8] = content[4:8][::-1]
    path.write_bytes(content)
    with pytest.raises(ValueError, match="written for machines of the other byte order; convert it again on this kind"):
        GgufFile(path)
