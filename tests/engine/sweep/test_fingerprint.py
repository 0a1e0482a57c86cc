"""Digests: equal content gives equal digests, other content other ones, what has no exact form is refused."""

import dataclasses
import enum
import hashlib

import numpy as np
import pytest

from causeway.engine.sweep.fingerprint import array_sha256, arrays_sha256, canonical_json, config_sha256, file_sha256


class Kind(enum.Enum):
    RELU = "relu"


@dataclasses.dataclass(frozen=True)
class Config:
    kind: Kind
    scale: float


def test_canonical_json():
    value = {"b": (np.int32(1), np.float64(0.1)), "a": Config(Kind.RELU, 2.0), "c": None}
    assert canonical_json(value) == '{"a":{"kind":"relu","scale":2.0},"b":[1,0.1],"c":null}'
    assert config_sha256({"x": 1}) != config_sha256({"x": 1.0})


@pytest.mark.parametrize(
    ("value", "match"),
    [
        ({"a": {"b": float("nan")}}, r"config\.a\.b: nan has no JSON form"),
        ({"a": {1: 2}}, r"config\.a: key 1 is int"),
        ({"a": [np.zeros(3)]}, r"config\.a\[0\]: ndarray has no JSON form"),
        ({"a": {1, 2}}, r"config\.a: set has no JSON form"),
    ],
)
def test_what_has_no_json_form_is_named(value, match):
    with pytest.raises(ValueError, match=match):
        canonical_json(value)


def test_arrays_are_compared_by_content():
    array = np.arange(12, dtype=np.int32).reshape(3, 4)
    same = [np.asfortranarray(array), array.astype(">i4"), np.repeat(array, 2, axis=1)[:, ::2]]
    assert {array_sha256(other) for other in same} == {array_sha256(array)}
    different = [array.reshape(4, 3), array.astype(np.int64), array.view(np.float32), array + 1]
    assert array_sha256(array) not in {array_sha256(other) for other in different}
    assert array_sha256(np.float32(1)) != array_sha256(np.ones(1, np.float32))
    assert arrays_sha256({"a": array, "b": array + 1}) == arrays_sha256({"b": array + 1, "a": array})
    assert arrays_sha256({"a": array, "b": array + 1}) != arrays_sha256({"b": array, "a": array + 1})


def test_files_are_hashed_whole(tmp_path):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    assert file_sha256(tmp_path / "file") == hashlib.sha256(data).hexdigest()
