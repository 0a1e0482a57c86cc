"""Zip archives from outside: what the directory says of its members, checked against what the file's bytes allow.

A zip's directory may claim anything: members of exabytes, two under one name, places beyond the end, kinds of
compression whose decoders take gigabytes. All of it is checked from the directory alone, before a member is opened.
Nothing is ever unpacked into files; names that would leave a folder are refused all the same, as no honest writer
makes them.
"""

import zipfile
from collections.abc import Collection
from pathlib import Path, PurePosixPath

from causeway.ports.files.foreign import check_file, parsing

STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED
MOST_MEMBERS = 1 << 16
# One byte of deflate stands for at most 1,032.
DEFLATE_RATIO = 1032
ENCRYPTED = 1


def check_members(path: Path, kinds: Collection[int]) -> list[zipfile.ZipInfo]:
    """The members of an archive, in order.

    Args:
        path: the archive. kinds: of compression that its writers use.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a zip, or a member that cannot be what the directory says.
    """
    size = check_file(path)
    with parsing(path, "zip file of arrays"):
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
        if len(members) > MOST_MEMBERS:
            raise ValueError(f"lists {len(members)} members")
        names: set[str] = set()
        for info in members:
            _check(info, size, kinds)
            if info.filename in names:
                raise ValueError(f"two members are called {info.filename!r}")
            names.add(info.filename)
    return members


def _check(info: zipfile.ZipInfo, size: int, kinds: Collection[int]) -> None:
    name = info.filename
    if not name or PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
        raise ValueError(f"a member is called {name!r}")
    if info.flag_bits & ENCRYPTED:
        raise ValueError(f"member {name} is encrypted")
    if info.compress_type not in kinds:
        raise ValueError(f"member {name} has the compression {info.compress_type}, which its writers do not use")
    most = info.compress_size * (1 if info.compress_type == STORED else DEFLATE_RATIO)
    if info.file_size > most or info.header_offset < 0 or info.header_offset + info.compress_size > size:
        raise ValueError(
            f"member {name} is said to have {info.file_size} bytes, from {info.compress_size} at {info.header_offset}"
        )
