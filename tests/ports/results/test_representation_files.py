import json

import numpy as np
import pytest
import tensorstore as ts

from causeway.engine.prompt_record import pair
from causeway.engine.representations import Representations
from causeway.engine.sweep.checksums import written_alone
from causeway.ports.results import representation_files as files


@pytest.fixture
def made():
    records = tuple(
        pair("p", " a", " b", "some", "test", id=f"p{n}", fields={"margin": n - 0.5, "correct": n > 0, "own": [n]})
        for n in range(3)
    )
    return Representations(records, np.arange(12, dtype=np.float32).reshape(3, 4), "resid_post", 1, "abc", {"n": 3})


def test_representations_come_back_as_they_were_written(tmp_path, made):
    files.write_representations(tmp_path, made)
    found = files.read_representations(tmp_path)
    assert found.records == made.records
    assert (found.stream, found.layer, found.fingerprint, found.about) == ("resid_post", 1, "abc", {"n": 3})
    assert found.vectors.dtype == np.float32
    np.testing.assert_array_equal(found.vectors, made.vectors)
    np.testing.assert_array_equal(found.margins, [-0.5, 0.5, 1.5])


def test_files_of_two_runs_are_refused(tmp_path, made):
    files.write_representations(tmp_path, made)
    lines = (tmp_path / files.METADATA).read_text().splitlines(keepends=True)
    (tmp_path / files.METADATA).write_text("".join(lines[:2]))
    with pytest.raises(ValueError, match="3 vectors, but 2 prompts; make the folder again"):
        files.read_representations(tmp_path)
    np.save(tmp_path / files.VECTORS, np.ones((2, 4), np.float32))
    with pytest.raises(ValueError, match=r"has shape \(2, 4\), but represent.json says \(3, 4\)"):
        files.read_representations(tmp_path)


def test_a_changed_file_is_told_by_its_checksum(tmp_path, made):
    with written_alone(tmp_path, files.FILES):
        files.write_representations(tmp_path, made)
    path = tmp_path / files.METADATA
    path.write_text(path.read_text().replace("0.5", "9.5"))
    with pytest.raises(ValueError, match="not the file that was written here"):
        files.read_representations(tmp_path)


@pytest.mark.parametrize("content", ["[]", "{}", "{", '{"stream": "final_norm"}'])
def test_a_damaged_description_is_refused(tmp_path, made, content):
    files.write_representations(tmp_path, made)
    (tmp_path / files.ABOUT).write_text(content)
    with pytest.raises(ValueError, match=r"represent\.json"):
        files.read_representations(tmp_path)


def test_a_folder_without_representations_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="give the folder that `represent` wrote"):
        files.read_representations(tmp_path)


def test_residuals_are_padded_with_zeros_and_know_their_lengths(tmp_path):
    streams = [np.full((n, 2), n, np.float32) for n in (3, 1)]
    residuals = files.ResidualFile(tmp_path, [3, 1], 2)
    for number in (1, 0):
        residuals(number, streams[number])
    store = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(tmp_path / files.RESIDUALS)}}
    found = ts.open(store).result().read().result()
    np.testing.assert_array_equal(found, [[[3, 3], [3, 3], [3, 3]], [[1, 1], [0, 0], [0, 0]]])
    described = json.loads((tmp_path / files.RESIDUALS / "zarr.json").read_text())
    assert described["attributes"] == {"lengths": [3, 1]}


def test_residuals_that_do_not_fit_are_refused_before_they_are_made(tmp_path):
    assert files.check_room(tmp_path, [3, 1], 2) == 4 * 2 * 3 * 2
    with pytest.raises(ValueError, match=r"full: the stream at all tokens takes up to 4e.* GB"):
        files.check_room(tmp_path, [10**9] * 10**3, 10**6)


def test_removing_leaves_nothing_of_an_earlier_run(tmp_path, made):
    files.write_representations(tmp_path, made)
    files.ResidualFile(tmp_path, [3], 2)
    files.remove_representations(tmp_path)
    assert list(tmp_path.iterdir()) == []
