"""Damage: what may happen to a file on its way, and what someone might do to it on purpose.

Bytes of any file are flipped, cut, inserted, doubled. Text that is JSON or YAML is also changed as a tree: values of
other kinds and absurd sizes, names removed and doubled, nesting without end. Headers of safetensors and .npy, members
of zips and pickles are changed inside containers that stay whole, so that more than their checksums is tried.
"""

import functools
import io
import json
import struct
import zipfile
from collections.abc import Callable

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

Rng = np.random.Generator
# Spliced into the text as they are, since no writer of JSON would write them.
RAW = (
    "[" * 100_000, "[" * 100_000 + "]" * 100_000, '{"a":' * 20_000, "9" * 400, "-" + "9" * 400, "9" * 5000, "1e999",
    "NaN", "-Infinity", '"\\ud800"', "01", "",
)  # fmt: skip
VALUES = (
    None, True, False, 0, -1, 2.9, 1e308, 10**8, 10**9, 2**31, 2**32 + 121, 10**12, 2**63, 10**19, "", "x", "../../x",
    "/etc/passwd", [], [1, "a"], {}, {"a": 1}, [[1]], [None], "a" * 100_000, "{layer}", "²",
)  # fmt: skip
BOMB = "".join(f"k{i}: &k{i} [{', '.join([f'*k{i - 1}'] * 9) if i else 'a'}]\n" for i in range(12))
YAML_RAW = (
    BOMB, "a: &a [*a]\n", "b: !!python/object/apply:os.system ['true']\n", "c: !!binary x\n", "d: 2001-99-99\n",
    "[" * 50_000, "e: {<<: 1}\n", "? [1]\n: 2\n", "- " * 10_000, "f: 1:99:99:99\n", "--- {}\n--- {}\n", "\x00",
)  # fmt: skip


def mutated(content: bytes, name: str, rng: Rng) -> bytes:
    """The bytes of a file called `name`, damaged."""
    suffix = name.rpartition(".")[2]
    known = {
        "json": [json_tree], "jsonl": [json_lines], "yaml": [yaml_tree], "npz": [zip_members, npz_header],
        "pt": [zip_members, pickle_bytes], "safetensors": [safetensors_header],
        "parquet": [table_column],
    }.get(suffix, [])  # fmt: skip
    if suffix == "pt" and not content.startswith(b"PK"):
        known = []  # a file of the older kind is one pickle
    # Where there is a structure, two of three are changed in it.
    choices: list[Callable[[bytes, Rng], bytes]] = [any_bytes, *known, *known] if known else [any_bytes]
    return choices[rng.integers(len(choices))](content, rng)


def any_bytes(content: bytes, rng: Rng) -> bytes:
    """Flips, cuts, insertions."""
    at, length = int(rng.integers(len(content) + 1)), int(rng.integers(1, 40))
    match rng.integers(7):
        case 0 | 1:
            flipped = bytearray(content or b"\0")
            for place in rng.integers(len(flipped), size=int(rng.integers(1, 9))):
                flipped[place] ^= 1 << int(rng.integers(8))
            return bytes(flipped)
        case 2:
            return content[:at]
        case 3:
            return content[:at] + content[at + length :]
        case 4:
            return content[:at] + rng.bytes(length) + content[at:]
        case 5:
            return content[:at] + content[at : at + length] * 2 + content[at + length :]
        case _:
            return content[:at] + (b"\xff" if rng.integers(2) else b"\0") * length + content[at + length :]


def json_tree(content: bytes, rng: Rng) -> bytes:
    """One place of a JSON value changed, or its encoding."""
    if rng.integers(10) == 0:
        encoding = ("utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1")[rng.integers(5)]
        return content.decode().encode(encoding, errors="replace")
    value = json.loads(content)
    _change(value, rng, "@raw@")
    raw = RAW[rng.integers(len(RAW))]
    return json.dumps(value).replace('"@raw@"', raw).replace('"@twice@": 0', '"@twice@": 0, "@twice@": 1').encode()


def json_lines(content: bytes, rng: Rng) -> bytes:
    """One line of several."""
    lines = content.splitlines()
    at = int(rng.integers(len(lines)))
    lines[at] = (json_tree if rng.integers(4) else any_bytes)(lines[at], rng)
    return b"\r\n".join(lines) if rng.integers(4) == 0 else b"\n".join(lines)


def yaml_tree(content: bytes, rng: Rng) -> bytes:
    """One place of a YAML value changed, or something put before or behind it."""
    raw = YAML_RAW[rng.integers(len(YAML_RAW))].encode()
    match rng.integers(3):
        case 0:
            return raw + content
        case 1:
            return content + raw
        case _:
            value = yaml.safe_load(content)
            _change(value, rng, "@raw@")
            return yaml.safe_dump(value).replace("'@raw@'", RAW[rng.integers(len(RAW))]).encode()


def safetensors_header(content: bytes, rng: Rng) -> bytes:
    """The header, with its length right or absurd."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json_tree(content[8 : 8 + length], rng)
    if rng.integers(4) == 0:
        claimed = (0, 1, 2**31, 2**63, 2**64 - 1, length + 1)[rng.integers(6)]
        return struct.pack("<Q", claimed) + content[8:]
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


def zip_members(content: bytes, rng: Rng) -> bytes:
    """Directory entries of a zip: what each member is said to be."""
    entries = []
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = [(info.filename, archive.read(info)) for info in archive.infolist()]
    out = io.BytesIO()
    kind = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)[rng.integers(4)]
    with zipfile.ZipFile(out, "w", kind) as archive:
        for name, values in entries:
            archive.writestr(name, values)
        name = ("../x.npy", "/x.npy", "a\\b.npy", entries[0][0], " ", "x")[rng.integers(6)]
        if rng.integers(2):
            archive.writestr(name, bytes(1 << 20 if rng.integers(3) else 1 << 23))
    changed = bytearray(out.getvalue())
    start = changed.rfind(b"PK\x01\x02")  # the directory's last entry
    offset, size = ((8, 2), (10, 2), (16, 4), (20, 4), (24, 4), (42, 4), (46, 0))[rng.integers(7)]
    changed[start + offset : start + offset + size] = rng.bytes(size)
    return bytes(changed)


def npz_header(content: bytes, rng: Rng) -> bytes:
    """One array's .npy header, within a zip that is whole."""
    headers = (
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,), }", "(" * 5000, "[" * 200,
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,), }", "{'descr': [('a', '<f4')], 'shape': (), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -5), }", "{'descr': '<f4', 'shape': 'x'}", "__import__",
        "{'descr': '<U999999999', 'fortran_order': 3, 'shape': (True,), }", "9" * 5000, "{'descr': b'\\0', }", "\0",
    )  # fmt: skip
    header = headers[rng.integers(len(headers))].encode()
    values = b"\x93NUMPY" + bytes((int(rng.integers(1, 4)), 0)) + struct.pack("<H", len(header)) + header + bytes(64)
    return _rewritten(content, int(rng.integers(6)), lambda _: values)


def pickle_bytes(content: bytes, rng: Rng) -> bytes:
    """The pickle of a torch file, within a zip that is whole."""
    return _rewritten(content, 0, lambda values: any_bytes(values, rng))


def table_column(content: bytes, rng: Rng) -> bytes:
    """A column of a table that is whole becomes one of another kind, goes, or grows without end."""
    table = pq.read_table(pa.BufferReader(content))
    rows, at = len(table), int(rng.integers(table.num_columns))
    columns = (
        pa.array(["x"] * rows), pa.nulls(rows), pa.array([[1]] * rows), pa.array([{"a": 1}] * rows),
        pa.array([2**63] * rows, pa.uint64()), pa.array([4294967417] * rows), pa.array([-1] * rows),
        pa.array([2.9] * rows), pa.array([float("inf")] * rows), pa.array([1] * (rows - 1) + [None]),
        pa.array([True] * rows), pa.array([b"\xff"] * rows), pa.array([1] * rows, pa.timestamp("ns")),
        pa.array(["a"] * rows).dictionary_encode(), pa.array([1] * rows, pa.decimal128(38, 2)),
    )  # fmt: skip
    column = columns[rng.integers(len(columns))]
    match rng.integers(6):
        case 0:
            table = table.remove_column(at)
        case 1:
            table = table.append_column(table.column_names[at], column)
        case 2:
            return _endless(tuple(table.column_names[:2]))
        case _:
            table = table.set_column(at, table.column_names[at], column)
    out = io.BytesIO()
    pq.write_table(table, out, compression="zstd")
    return out.getvalue()


@functools.cache
def _endless(names: tuple[str, ...]) -> bytes:
    """Twenty million rows in a few bytes."""
    out = io.BytesIO()
    pq.write_table(pa.table({name: pa.repeat(pa.scalar(1), 20_000_000) for name in names}), out, compression="zstd")
    return out.getvalue()


def _rewritten(content: bytes, at: int, change: Callable[[bytes], bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(out, "w") as written:
        for number, info in enumerate(archive.infolist()):
            values = archive.read(info)
            written.writestr(info.filename, change(values) if number == at % len(archive.infolist()) else values)
    return out.getvalue()


def _change(value: object, rng: Rng, raw: str) -> None:
    """One entry of a container, at any depth, becomes another value, or goes, or comes twice."""
    containers = [c for c in _walk(value) if c]
    if not containers:
        return
    container = containers[rng.integers(len(containers))]
    keys = list(container) if isinstance(container, dict) else list(range(len(container)))
    key = keys[rng.integers(len(keys))]
    match rng.integers(6):
        case 0:
            del container[key]
        case 1:
            container[key] = raw
        case 2 if isinstance(container, dict):
            container["@twice@"] = 0
        case 3 if isinstance(container, dict):
            container[str(key) + "x"] = container.pop(key)
        case _:
            container[key] = VALUES[rng.integers(len(VALUES))]


def _walk(value: object):
    """Every container within a value, itself included."""
    if isinstance(value, dict | list):
        yield value
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _walk(inner)
