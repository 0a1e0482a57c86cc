"""What every file from outside has to be before a parser sees it: there, a plain file, not too large, not a pointer.

A git-LFS pointer is the short text that stands in the place of a file whose download was skipped.

Cost: one look at the file's status and its first bytes.
"""

from pathlib import Path

LFS_HEAD = b"version https://git-lfs"


def check_file(path: Path, most: int | None = None, missing: str = "") -> int:
    """The size of a file in bytes, known to be one that can be parsed.

    Args:
        path: the file. most: the largest size that is read; None for any.
        missing: what to do where there is no such file, for the error line.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a plain file, larger than what is read, or a git-LFS pointer.
    """
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give one of its files")
    if not path.is_file():
        kind = "is not a plain file" if path.exists() else "no such file"
        raise FileNotFoundError(f"{path}: {kind}{missing and '; '}{missing}")
    size = path.stat().st_size
    if most is not None and size > most:
        raise ValueError(f"{path}: has {size} bytes; files of this kind are read up to {most} bytes")
    with path.open("rb") as file:
        if file.read(len(LFS_HEAD)) == LFS_HEAD:
            raise ValueError(f"{path}: a git-LFS pointer, not the file itself; run `git lfs pull` in its repository")
    return size
