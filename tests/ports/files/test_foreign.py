"""What foreign parsers raise becomes one line that names the file; what is not the file's fault passes."""

import errno
import struct

import pytest

from causeway.ports.files.foreign import interpreting, parsing


def _raise(context, error):
    with context:
        raise error


class Panic(BaseException):
    """As libraries in Rust raise it."""


@pytest.mark.parametrize(
    "error",
    [
        RecursionError("deep"), MemoryError(), NotImplementedError("kind 99"), RuntimeError("a\nb"), struct.error("x"),
        KeyError("a"), OverflowError("big"), ValueError("bad"), Panic("no entry"), OSError("no thrift"),
        OSError(errno.EINVAL, "Invalid argument"),
    ],
)  # fmt: skip
def test_a_parsers_errors_are_the_files(tmp_path, error):
    path = tmp_path / "a.bin"
    path.write_bytes(b"123")
    with pytest.raises(ValueError, match=r"a\.bin: not a readable thing \(.+; 3 bytes on disk\); ask") as caught:
        _raise(parsing(path, "thing", "ask"), error)
    assert "\n" not in str(caught.value)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), PermissionError(errno.EACCES, "no", "a")])
def test_what_a_person_or_the_system_does_passes(error):
    with pytest.raises(type(error)):
        _raise(parsing("a", "thing"), error)


@pytest.mark.parametrize("error", [TypeError("x"), KeyError("x"), AttributeError("x"), OverflowError("x")])
def test_values_of_the_wrong_kind_are_the_files(error):
    with pytest.raises(ValueError, match=r"^a: not a readable thing \(\w+: .*x.*\); download it again$"):
        _raise(interpreting("a", "thing"), error)


@pytest.mark.parametrize(
    "error", [ValueError("b: a line"), FileNotFoundError("b"), NameError("a bug"), AssertionError()]
)
def test_lines_of_a_reader_and_bugs_pass(error):
    with pytest.raises(type(error)) as caught:
        _raise(interpreting("a", "thing"), error)
    assert caught.value is error
