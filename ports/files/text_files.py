"""Text that comes from outside, in the encodings that people's tools write it in.

UTF-8 with or without a byte order mark, and UTF-16 and UTF-32 with one (PowerShell's `>` writes UTF-16); lines end in
\n, \r\n or \r. Anything else is refused in one line that names the file and the first byte that does not fit: a guess
would put other characters into a text without a word.

Every text that a person or another program wrote is read here; one that a command of ours wrote and recorded a checksum
of is read against it (`engine.sweep.checksums`).
"""

import codecs
from pathlib import Path

from causeway.engine.sweep.checksums import read_bytes
from causeway.ports.files.foreign import check_file

# Texts are held in memory whole; a configuration is small, and a large one is none.
TEXT_BYTES = 1 << 31
CONFIG_BYTES = 1 << 26
# UTF-32's mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF32_LE, "utf-32-le"), (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"),
)  # fmt: skip


def read_text(path: Path | str, most: int = TEXT_BYTES, missing: str = "") -> str:
    """The text of a file, its lines ended by \\n.

    Args:
        path: the file. most: its largest size in bytes. missing: what to do where it is not there.

    Raises:
        FileNotFoundError: no such file.
        ValueError: too large, a git-LFS pointer, or in another encoding.
    """
    content, mark, encoding = _read(Path(path), most, missing)
    return _unified(_decoded(content, encoding, str(path), len(mark)))


def utf8_lines(path: Path | str) -> list[bytes]:
    """The lines of a file as UTF-8 that is not checked yet, without their ends.

    `decoded` checks a line: so a line in another encoding is one bad line, where bad lines may be left out.

    Raises:
        FileNotFoundError, ValueError: as `read_text`; of encodings, only of UTF-16 and UTF-32.
    """
    content, mark, encoding = _read(Path(path), TEXT_BYTES, "")
    if encoding != "utf-8":
        content = _decoded(content, encoding, str(path), len(mark)).encode()
    # Not splitlines, which also cuts where JSON strings may hold Unicode's other separators.
    return content.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")


def decoded(line: bytes, where: str) -> str:
    """A line of `utf8_lines` as text.

    Raises:
        ValueError: not UTF-8.
    """
    return _decoded(line, "utf-8", where, 0)


def _read(path: Path, most: int, missing: str) -> tuple[bytes, bytes, str]:
    """Content without its mark, the mark, and the encoding."""
    check_file(path, most, missing)
    content = read_bytes(path)
    mark, encoding = next(((m, e) for m, e in _MARKS if content.startswith(m)), (b"", "utf-8"))
    if encoding == "utf-8" and (zero := content.find(b"\0")) >= 0:
        raise ValueError(
            f"{path}: byte {zero} is 0, so it is no text, or UTF-16 without a byte order mark; save the file as UTF-8"
        )
    return content[len(mark) :], mark, encoding


def _decoded(content: bytes, encoding: str, where: str, before: int) -> str:
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        found = content[error.start : error.start + 1].hex()
        raise ValueError(
            f"{where}: byte {before + error.start} (0x{found}) is not {encoding.upper()} ({error.reason}); save the "
            "file as UTF-8"
        ) from None


def _unified(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text
