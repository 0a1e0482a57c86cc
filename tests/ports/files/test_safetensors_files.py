import json
import struct

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import save_file

from causeway.ports.files.safetensors_files import open_directory, open_file, weight_files


def write_raw(path, header: dict, data: bytes) -> None:
    content = json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(content)) + content + data)


def entry(shape, start, stop, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16])
def test_reads_what_was_written(tmp_path, dtype):
    values = np.arange(6).reshape(2, 3).astype(dtype)
    save_file({"a": values, "b": values[0]}, tmp_path / "model.safetensors")
    tensors = open_directory(tmp_path)
    assert {name: t.shape for name, t in tensors.items()} == {"a": (2, 3), "b": (3,)}
    assert tensors["a"].dtype == dtype
    np.testing.assert_array_equal(tensors["a"].read(), values)
    assert weight_files(tensors) == [tmp_path / "model.safetensors"]


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_slice_is_the_part_that_numpy_would_cut(tmp_path, axis):
    values = np.arange(3 * 4 * 5).reshape(3, 4, 5).astype(ml_dtypes.bfloat16)
    save_file({"first": np.zeros(3, np.float16), "a": values}, tmp_path / "model.safetensors")
    tensor = open_directory(tmp_path)["a"]
    for start, stop in ((0, 0), (0, 1), (1, 3), (0, values.shape[axis])):
        part = tensor.read_slice(start, stop, axis)
        np.testing.assert_array_equal(part, values.take(range(start, stop), axis))
        assert part.flags.owndata
        assert part.flags.c_contiguous


def test_views_are_of_the_file_and_cannot_be_written_to(tmp_path):
    values = np.arange(1 << 15, dtype=np.float32)
    save_file({"a": values, "none": np.zeros((0, 3), np.float32)}, tmp_path / "model.safetensors")
    tensors = open_directory(tmp_path)
    view = tensors["a"].view()
    assert not view.flags.writeable
    assert not view.flags.owndata
    tensors["a"].release()
    np.testing.assert_array_equal(view, values)
    assert tensors["none"].read().shape == (0, 3)


def test_file_cut_after_it_was_opened(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(8, np.float32)}, path)
    tensor = open_directory(tmp_path)["a"]
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(ValueError, match=r"model\.safetensors: has shrunk from \d+ to \d+ bytes since it was opened"):
        tensor.read()


@pytest.mark.parametrize("keep", [0, 5, 20, -1])
def test_truncated_file_is_named(tmp_path, keep):
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(8, np.float32)}, path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"model\.safetensors: not a readable safetensors file .* download it again"):
        open_directory(tmp_path)


@pytest.mark.parametrize(
    ("header", "data"),
    [
        ({"a": entry([4], 0, 16)}, bytes(12)),
        ({"a": entry([4], 0, 16)}, bytes(20)),
        ({"a": entry([3], 0, 12), "b": entry([3], 8, 20)}, bytes(20)),
        ({"a": entry([5], 0, 16)}, bytes(16)),
        ({"a": entry([4], 0, 16, "F31")}, bytes(16)),
        ({"a": entry([4], 4, 20)}, bytes(20)),
    ],
    ids=["past the end", "bytes left over", "overlap", "shape lies", "unknown dtype", "gap"],
)
def test_inconsistent_header_is_refused(tmp_path, header, data):
    write_raw(tmp_path / "model.safetensors", header, data)
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        open_directory(tmp_path)


def test_header_length_that_lies_is_refused(tmp_path):
    path = tmp_path / "model.safetensors"
    save_file({"a": np.zeros(8, np.float32)}, path)
    path.write_bytes(struct.pack("<Q", 1 << 40) + path.read_bytes()[8:])
    with pytest.raises(ValueError, match="not a readable safetensors file"):
        open_directory(tmp_path)


def test_dtype_not_read_here_is_named(tmp_path):
    write_raw(tmp_path / "model.safetensors", {"a": entry([16], 0, 16, "F8_E4M3")}, bytes(16))
    with pytest.raises(ValueError, match="tensor a has dtype F8_E4M3"):
        open_directory(tmp_path)


def test_lfs_pointer_is_recognised(tmp_path):
    (tmp_path / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    with pytest.raises(ValueError, match=r"git-LFS pointer.*git lfs pull"):
        open_directory(tmp_path)


def test_pickle_is_refused_with_the_way_out(tmp_path):
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x02")
    with pytest.raises(FileNotFoundError, match=r"only the pickle pytorch_model\.bin; convert it .*save_file"):
        open_directory(tmp_path)
    with pytest.raises(ValueError, match="a pickle, which can run code"):
        open_file(tmp_path / "pytorch_model.bin")


def test_the_conversion_has_the_name_that_is_looked_for(tmp_path):
    (tmp_path / "optimizer.pt").write_bytes(b"")
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match=r"torch\.load\('pytorch_model\.bin'.* 'model\.safetensors'\)"):
        open_directory(tmp_path)
    (tmp_path / "pytorch_model.bin").rename(tmp_path / "pytorch_model-00001-of-00002.bin")
    with pytest.raises(FileNotFoundError, match=r"of-00002\.bin; convert all parts with transformers"):
        open_directory(tmp_path)


def test_empty_directory_lists_what_is_there(tmp_path):
    (tmp_path / "README.md").write_text("")
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors .* holds README\.md"):
        open_directory(tmp_path)


class TestShards:
    def write(self, directory, weight_map):
        save_file({"a": np.ones(2, np.float32)}, directory / "one.safetensors")
        save_file({"b": np.full(3, 2, np.float32)}, directory / "two.safetensors")
        (directory / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    def test_shards_make_one_set(self, tmp_path):
        self.write(tmp_path, {"a": "one.safetensors", "b": "two.safetensors"})
        tensors = open_directory(tmp_path)
        assert {n: t.read().tolist() for n, t in tensors.items()} == {"a": [1, 1], "b": [2, 2, 2]}
        assert len(weight_files(tensors)) == 2

    @pytest.mark.parametrize("shard", ["../one.safetensors", "/etc/one.safetensors", "sub/one.safetensors", "..", ""])
    def test_index_cannot_leave_its_directory(self, tmp_path, shard):
        self.write(tmp_path, {"a": shard})
        with pytest.raises(ValueError, match="leaves the directory"):
            open_directory(tmp_path)

    def test_missing_shard(self, tmp_path):
        self.write(tmp_path, {"a": "one.safetensors", "b": "three.safetensors"})
        with pytest.raises(FileNotFoundError, match=r"names the shard three\.safetensors, which is not there"):
            open_directory(tmp_path)

    def test_tensor_not_in_its_shard(self, tmp_path):
        self.write(tmp_path, {"a": "two.safetensors", "b": "two.safetensors"})
        with pytest.raises(ValueError, match=r"says a is in two\.safetensors"):
            open_directory(tmp_path)

    def test_tensor_not_in_the_index(self, tmp_path):
        self.write(tmp_path, {"a": "one.safetensors"})
        (tmp_path / "one.safetensors").unlink()
        save_file({"a": np.ones(2, np.float32), "c": np.ones(2, np.float32)}, tmp_path / "one.safetensors")
        with pytest.raises(ValueError, match="does not list tensors its shards hold: c"):
            open_directory(tmp_path)

    def test_index_of_nothing(self, tmp_path):
        self.write(tmp_path, {})
        with pytest.raises(ValueError, match=r"index\.json: its `weight_map` is empty"):
            open_directory(tmp_path)

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            ("", "not JSON"),
            ("[]", "holds a JSON list; needs an object"),
            ("{}", "field weight_map is missing"),
            ('{"weight_map": [1]}', r"field weight_map is \[1\]; needs dict"),
            ('{"weight_map": {"a": ["b"]}}', r"names the shard \['b'\]; needs the name of a file"),
            ('{"weight_map": {"a": "/etc/passwd"}}', "leaves the directory"),
        ],
    )
    def test_damaged_index(self, tmp_path, content, message):
        (tmp_path / "model.safetensors.index.json").write_text(content)
        with pytest.raises(ValueError, match=message):
            open_directory(tmp_path)
