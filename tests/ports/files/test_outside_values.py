"""JSON, YAML, zips and tables from outside: within limits that are checked before work, refused in one line beyond."""

import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from causeway.ports.files.config_fields import Fields, read_json
from causeway.ports.files.json_text import DEPTH, parse_json
from causeway.ports.files.npz_files import open_npz
from causeway.ports.files.parquet_files import MOST_ROWS, read_parquet
from causeway.ports.files.yaml_files import parse_yaml
from causeway.ports.files.zip_files import DEFLATED, STORED, check_members


@pytest.mark.parametrize("depth", [1, DEPTH])
def test_nesting_up_to_the_limit_is_read(depth):
    content = "[" * depth + "]" * depth
    assert json.dumps(parse_json(content, "a")) == content
    assert parse_yaml(f"a: {content[1:-1] or 1}", "a")


@pytest.mark.parametrize("depth", [DEPTH + 1, 900, 100_000])
def test_deeper_nesting_is_refused(depth):
    for content in ("[" * depth + "]" * depth, '{"a":' * depth + "1" + "}" * depth):
        with pytest.raises(ValueError, match=r"^f\.json: not JSON \(nested deeper than 64\)$"):
            parse_json(content, "f.json")
    with pytest.raises(ValueError, match=r"^f\.yaml: not a readable YAML file \(.*(deeper|depth)"):
        parse_yaml("a: " + "[" * depth + "]" * depth, "f.yaml")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ('{"a": 1, "a": 2}', "an object has 'a' twice, with two values"),
        (r'"\ud800"', "surrogates not allowed"),
        ("9" * 5000, "not JSON"),
    ],
)
def test_json_that_others_read_otherwise_is_refused(content, message):
    with pytest.raises(ValueError, match=f"^f: .*{message}"):
        parse_json(content, "f")


def test_json_that_means_one_thing_is_read():
    assert parse_json('{"a": 1, "a": 1}', "f") == {"a": 1}
    assert parse_json(r'"\ud83d\ude42"', "f") == "\U0001f642"


BOMB = "a: &a [x, x]\n" + "".join(f"b{i}: [*a, *a, *a]\n" for i in range(4))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (BOMB, "more than 8 aliases"),
        ("a: &a [*a]", "nested deeper"),
        ("a: !!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a: 2001-99-99", "month must be in"),
        ("[1]", "holds a list; needs a mapping"),
        ("1: 2", "needs a mapping of names"),
        ("", "holds a NoneType"),
    ],
)
def test_yaml_is_plain_values_within_limits(content, message):
    with pytest.raises(ValueError, match=f"^f: .*{message}") as caught:
        parse_yaml(content, "f")
    assert "\n" not in str(caught.value)


def test_a_few_aliases_are_read():
    assert parse_yaml("a: &a [x]\nb: *a", "f") == {"a": ["x"], "b": ["x"]}


@pytest.mark.parametrize("value", [10**400, 2**31, "a" * 2000, [1], True])
def test_fields_take_no_integer_that_fits_into_no_array(value):
    with pytest.raises(ValueError, match=r"^f: field n") as caught:
        Fields("f", {"n": value}).positive("n")
    assert len(str(caught.value)) < 200


def test_fields_of_lists_and_objects():
    fields = Fields("f", {"a": ["x"], "b": {"c": 1}, "d": ["x", {}], "e": []})
    assert fields.texts("a") == ["x"]
    assert fields.inner("b").positive("c") == 1
    with pytest.raises(ValueError, match=r"^f: field d is .*; needs a list of strings"):
        fields.texts("d")
    with pytest.raises(ValueError, match=r"^f: field e is \[\]; needs dict"):
        fields.inner("e")
    with pytest.raises(ValueError, match="field n: got 10001; needs a whole number from 1 to 10000"):
        Fields("f", {"n": 10_001}).layers("n")


def test_a_configuration_of_megabytes_is_none(tmp_path):
    (tmp_path / "config.json").write_text('{"a": 1}')
    with pytest.raises(ValueError, match="has 8 bytes; files of this kind are read up to 7 bytes"):
        read_json(tmp_path / "config.json", 7)


def change_directory(path, offset, value):
    """Overwrite a field of the directory's last entry."""
    content = bytearray(path.read_bytes())
    start = content.rfind(b"PK\x01\x02") + offset
    content[start : start + len(value)] = value
    path.write_bytes(bytes(content))


@pytest.mark.parametrize(
    ("offset", "value", "message"),
    [
        (8, b"\x01\x00", "member b.npy is encrypted"),
        (10, b"\x63\x00", "has the compression 99"),
        (10, b"\x0c\x00", "has the compression 12"),
        (24, b"\xff\xff\xff\x7f", "member b.npy is said to have 2147483647 bytes"),
        (42, b"\xff\xff\xff\x0f", "said to have 140 bytes, from 140 at 268435455"),
        (46, b"a", "two members are called 'a.npy'"),
        (46, b"\\", "a member is called"),
    ],
)
def test_zip_members_are_held_to_what_the_file_allows(tmp_path, offset, value, message):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.zeros(3, np.float32), b=np.zeros(3, np.float32))
    assert len(check_members(path, (STORED,))) == 2
    change_directory(path, offset, value)
    with pytest.raises(ValueError, match=rf"a\.npz: not a readable zip file of arrays \(.*{message}") as caught:
        open_npz(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["../a.npy", "/a.npy"])
def test_zip_names_stay_in_their_folder(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "a.npz", "w", DEFLATED) as archive:
        archive.writestr(name, b"x")
    with pytest.raises(ValueError, match="a member is called"):
        check_members(tmp_path / "a.npz", (STORED, DEFLATED))


@pytest.mark.parametrize("header", ["(" * 5000, "{'descr': '<f4', 'fortran_order': False, 'shape': (-2, -5), }", "9"])
def test_npy_headers_of_any_text(tmp_path, header):
    values = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode() + bytes(40)
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("a.npy", values)
    with pytest.raises(ValueError, match=r"a\.npz"):
        open_npz(tmp_path / "a.npz")


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"a": [[1]]}, "column a holds list"),
        ({"a": [{"b": 1}]}, "column a holds struct"),
        ({"a": pa.array([1], pa.decimal128(9, 2))}, "column a holds decimal"),
    ],
)
def test_tables_are_flat(tmp_path, columns, message):
    pq.write_table(pa.table(columns), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=rf"a\.parquet: not a readable Parquet file \({message}"):
        read_parquet(tmp_path / "a.parquet")


def test_rows_are_counted_before_they_are_read(tmp_path):
    out = io.BytesIO()
    pq.write_table(pa.table({"a": pa.repeat(pa.scalar(1), MOST_ROWS + 1)}), out, compression="zstd")
    (tmp_path / "a.parquet").write_bytes(out.getvalue())
    with pytest.raises(ValueError, match=f"says that it has {MOST_ROWS + 1} rows; up to {MOST_ROWS} are read"):
        read_parquet(tmp_path / "a.parquet")
