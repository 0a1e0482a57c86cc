import io
import zipfile

import numpy as np
import pytest

from causeway.ports.files import npz_files
from causeway.ports.files.npz_files import open_npz

RNG = np.random.default_rng(0)
ARRAYS = {
    "W_enc": RNG.normal(size=(5, 7)).astype(np.float32),
    "W_dec": np.asfortranarray(RNG.normal(size=(7, 5))),
    "cube": RNG.normal(size=(4, 3, 2)).astype(np.float16),
    "other_end": RNG.normal(size=(6, 2)).astype(">f4"),
    "scalar": np.float32(2.5),
    "empty": np.zeros((0, 3), np.float32),
}


@pytest.fixture(params=["stored", "compressed", "compressed in small blocks"])
def archive(request, tmp_path, monkeypatch):
    if "small" in request.param:
        monkeypatch.setattr(npz_files, "BLOCK_BYTES", 24)
    path = tmp_path / "params.npz"
    (np.savez if request.param == "stored" else np.savez_compressed)(path, **ARRAYS)
    return path


def test_arrays_are_read_whole(archive):
    tensors = open_npz(archive)
    assert {name: t.shape for name, t in tensors.items()} == {name: a.shape for name, a in ARRAYS.items()}
    for name, array in ARRAYS.items():
        assert tensors[name].dtype == array.dtype.newbyteorder("=")
        values = tensors[name].read()
        assert values.dtype == tensors[name].dtype
        np.testing.assert_array_equal(values, array)


@pytest.mark.parametrize("name", ["W_enc", "W_dec", "cube", "other_end"])
def test_any_range_of_any_axis(archive, name):
    tensor, array = open_npz(archive)[name], ARRAYS[name]
    for axis, length in enumerate(array.shape):
        for start in range(length + 1):
            for stop in range(start, length + 1):
                part = tensor.read_slice(start, stop, axis)
                np.testing.assert_array_equal(part, array.take(range(start, stop), axis=axis))


def test_ranges_are_copies(archive):
    tensor = open_npz(archive)["W_enc"]
    tensor.read_slice(0, 2, 0)[:] = 0
    np.testing.assert_array_equal(tensor.read(), ARRAYS["W_enc"])


def test_a_pickle_inside_is_refused_unread(tmp_path):
    np.savez(tmp_path / "a.npz", a=np.array([{}, []], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"a\.npz: array a\.npy holds Python objects, which need a pickle"):
        open_npz(tmp_path / "a.npz")


@pytest.mark.parametrize("keep", [0, 30, 200, -1])
def test_truncated_archive_is_named(tmp_path, keep):
    path = tmp_path / "params.npz"
    np.savez(path, a=np.zeros(64, np.float32))
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"params\.npz: not a readable zip file .* bytes on disk\); download it"):
        open_npz(path)


def test_damaged_compressed_values_are_named(tmp_path):
    path = tmp_path / "params.npz"
    np.savez_compressed(path, a=RNG.normal(size=4000))
    content = bytearray(path.read_bytes())
    content[5000:5100] = bytes(100)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"params\.npz array a\.npy: not a readable array \(BadZipFile"):
        open_npz(path)["a"].read()


def test_pointer_is_told_apart(tmp_path):
    (tmp_path / "params.npz").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n")
    with pytest.raises(ValueError, match=r"params\.npz: a git-LFS pointer"):
        open_npz(tmp_path / "params.npz")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"no array at all", "array a.npy: not a readable array"),
        (np.zeros(3, np.complex64), "array a.npy has dtype complex64; read here are float64"),
        (np.zeros(3, np.dtype("V2")), "array a.npy has dtype |V2"),
    ],
)
def test_members_that_are_not_read(tmp_path, content, message):
    path = tmp_path / "params.npz"
    buffer = io.BytesIO()
    if isinstance(content, bytes):
        buffer.write(content)
    else:
        np.save(buffer, content)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", buffer.getvalue())
    with pytest.raises(ValueError, match=message.replace("|", r"\|")):
        open_npz(path)


def test_header_that_lies_about_its_shape(tmp_path):
    path, buffer = tmp_path / "params.npz", io.BytesIO()
    np.save(buffer, np.zeros(8, np.float32))
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.npy", buffer.getvalue().replace(b"(8,)", b"(9,)"))
    with pytest.raises(ValueError, match=r"a\.npy of shape \(9,\) and dtype float32 needs 164 bytes, but .* holds 160"):
        open_npz(path)
