"""Torch's files: every dtype, by ranges, under any strides; what is refused, and how each refusal says to go on."""

import os
import sys

import numpy as np
import pytest

from causeway.ports.files.safetensors_files import TensorFile
from causeway.ports.files.torch_files import chosen_file, open_contents, open_file

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("name", ["float64", "float32", "float16", "bfloat16", "int64", "int32"])
@pytest.mark.parametrize("transposed", [False, True])
def test_every_dtype_and_stride(tmp_path, name, transposed):
    values = torch.arange(-6, 6).reshape(3, 4).to(getattr(torch, name))
    torch.save({"w": torch.nn.Parameter(values.T, False) if transposed else values}, tmp_path / "a.pt")
    tensor = open_file(tmp_path / "a.pt")["w"]
    expected = np.arange(-6, 6).reshape(3, 4)
    expected = expected.T if transposed else expected
    assert (tensor.file, tensor.name, tensor.shape) == (tmp_path / "a.pt", "w", expected.shape)
    assert str(tensor.dtype) == name
    np.testing.assert_array_equal(tensor.read().astype(int), expected)
    np.testing.assert_array_equal(tensor.read_slice(1, 3, 0).astype(int), expected[1:3])
    np.testing.assert_array_equal(tensor.read_slice(1, 3, 1).astype(int), expected[:, 1:3])
    assert tensor.read().dtype == tensor.dtype


def test_what_is_read_is_a_copy(tmp_path):
    torch.save({"w": torch.zeros(3)}, tmp_path / "a.pt")
    tensor = open_file(tmp_path / "a.pt")["w"]
    tensor.read()[:] = 7
    tensor.read_slice(0, 2, 0)[:] = 7
    assert not tensor.read().any()


def test_opening_reads_no_tensor(tmp_path):
    """A mapped file of 64 MiB costs address space, not memory."""
    torch.save({"w": torch.zeros(16 << 20)}, tmp_path / "a.pt")
    resource = pytest.importorskip("resource")
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tensor = open_file(tmp_path / "a.pt")["w"]
    tensor.read_slice(0, 1000, 0)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 16 << 10


def test_nested_and_plain_values(tmp_path):
    torch.save({"sae": {"w": torch.ones(2)}, "version": "2.1", "k": 3}, tmp_path / "a.pt")
    contents = open_contents(tmp_path / "a.pt")
    assert contents["version"] == "2.1"
    assert contents["k"] == 3
    assert isinstance(contents["sae"]["w"], TensorFile)
    assert contents["sae"]["w"].name == "sae.w"
    with pytest.raises(ValueError, match=r"holds k, sae, version, which are not tensors"):
        open_file(tmp_path / "a.pt")


def test_files_of_before_the_zip_format(tmp_path):
    torch.save({"w": torch.arange(3.0)}, tmp_path / "a.pt", _use_new_zipfile_serialization=False)
    np.testing.assert_array_equal(open_file(tmp_path / "a.pt")["w"].read(), np.arange(3))


def test_a_conversion_is_taken_instead(tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    torch.save({"w": torch.zeros(3)}, tmp_path / "a.pt")
    assert chosen_file(tmp_path / "a.pt") == tmp_path / "a.pt"
    save_file({"w": np.ones(3, np.float32)}, tmp_path / "a.safetensors")
    monkeypatch.setitem(sys.modules, "torch", None)
    assert open_file(chosen_file(tmp_path / "a.pt"))["w"].read().all()


def test_without_torch(tmp_path, monkeypatch):
    torch.save({"w": torch.zeros(3)}, tmp_path / "ae.pt")
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(
        ValueError, match=r"torch is not installed; pip install torch, or convert it.*ae\.safetensors"
    ) as e:
        open_file(tmp_path / "ae.pt")
    assert "\n" not in str(e.value)


def test_the_conversion_that_errors_name_works(tmp_path, monkeypatch):
    import safetensors.torch

    from causeway.ports.files.safetensors_files import how_to_convert

    w = torch.arange(6.0).reshape(2, 3).T
    torch.save({"w": w, "tied": w, "version": "1"}, tmp_path / "ae.pt")
    monkeypatch.chdir(tmp_path)
    command = how_to_convert(tmp_path / "ae.pt", "ae.safetensors").split("installed: ")[1].split(", and put it")[0]
    exec(command, {"torch": torch, "safetensors": safetensors})
    np.testing.assert_array_equal(open_file(tmp_path / "ae.safetensors")["w"].read(), np.arange(6).reshape(2, 3).T)


class Code:
    """An object whose unpickling would leave a mark."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


def test_code_is_never_run(tmp_path, monkeypatch):
    torch.save({"w": torch.zeros(3), "x": Code()}, tmp_path / "a.pt")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"would run code when loaded, so it is not; if you trust it, convert it") as e:
        open_file(tmp_path / "a.pt")
    assert "\n" not in str(e.value)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "a git-LFS pointer"),
        (b"PK\x03\x04 cut off", "not a readable (torch file|zip file of arrays)"),
        (b"", "not a readable (torch file|zip file of arrays)"),
        (b"\x80\x02garbage that is no pickle", "not a readable (torch file|zip file of arrays)"),
    ],
)
def test_damaged(tmp_path, content, message):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        open_file(tmp_path / "a.pt")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("size", [100, 20_000])
def test_truncated(tmp_path, size):
    """Torch itself fails in another way where the file is longer."""
    torch.save({"w": torch.zeros(size)}, tmp_path / "a.pt")
    whole = (tmp_path / "a.pt").read_bytes()
    (tmp_path / "a.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.pt: not a readable (torch|zip) file .* bytes on disk\); download it"):
        open_file(tmp_path / "a.pt")


def test_overwritten_inside(tmp_path):
    """Wherever in torch's reader it fails, it is one line that names the file."""
    torch.save({"w": torch.zeros(64), "k": torch.tensor(3)}, tmp_path / "a.pt")
    whole, errors = (tmp_path / "a.pt").read_bytes(), []
    for start in range(0, len(whole), 16):
        (tmp_path / "a.pt").write_bytes(whole[:start] + b"\xff" * 16 + whole[start + 16 :])
        try:
            open_contents(tmp_path / "a.pt")
        except ValueError as error:  # any other type fails the test
            errors.append(str(error))
    assert len(errors) > 5
    assert all(error.startswith(f"{tmp_path / 'a.pt'}: ") and "\n" not in error for error in errors)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (torch.zeros(3), "holds a Tensor; needs a dictionary of tensors"),
        ([1, 2], "holds a list; needs a dictionary of tensors"),
        ({"w": torch.zeros(3).to_sparse()}, "tensor w is torch.sparse_coo of torch.float32"),
        ({"a": {"w": torch.zeros(3, dtype=torch.complex64)}}, r"tensor a\.w is torch.strided of torch.complex64"),
    ],
)
def test_contents_not_read(tmp_path, content, message):
    torch.save(content, tmp_path / "a.pt")
    with pytest.raises(ValueError, match=message):
        open_file(tmp_path / "a.pt")


def test_missing(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"a\.pt: no such file"):
        open_file(tmp_path / "a.pt")
