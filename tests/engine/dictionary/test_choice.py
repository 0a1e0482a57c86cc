"""Where dictionaries go when nobody says it: by sizes against the memory there is."""

import pytest

from causeway.engine import memory
from causeway.engine.dictionary.choice import Auto
from causeway.engine.dictionary.placement import Replicated, Sharded, Streamed
from causeway.engine.mesh import make_mesh

GB = 10**9


@pytest.fixture
def there(monkeypatch):
    """`there(n)`: a device with n GB of its own memory."""
    monkeypatch.setattr(memory, "in_host_memory", lambda: False)
    return lambda size: monkeypatch.setattr(memory, "memory_there_bytes", lambda: round(size * GB))


@pytest.mark.parametrize(("size", "expected"), [
    (40, Replicated()), (25.1, Replicated()), (24.9, Streamed(2, "disk")), (11.3, Streamed(2, "disk")),
])  # fmt: skip
def test_whole_where_it_fits_and_else_layer_by_layer(there, size, expected):
    there(size)
    told = []
    chosen = Auto(None, lambda *said: told.append(said)).chosen(16 * GB, 32, 4 * GB, True)
    # A fifth is for programs: 20 of 25 GB, and with two layers of 32, 5 of 6.25.
    assert chosen == expected
    (said,) = told
    assert said[1] == isinstance(expected, Streamed)
    assert f"16 GB beside 4 GB, of {size:.3g} GB" in said[0]


def test_a_mesh_that_splits_features_holds_its_part(there):
    mesh = make_mesh(1, 4)
    there(10.1)
    assert Auto(mesh).chosen(16 * GB, 32, 4 * GB, True) == Sharded(mesh)
    there(9.9)
    assert Auto(mesh).chosen(16 * GB, 32, 4 * GB, True) == Streamed(2, "disk", Sharded(mesh))


@pytest.mark.parametrize(("streamable", "why"), [(True, "streamed either"), (False, "cannot be streamed")])
def test_what_fits_neither_way_is_refused_with_the_numbers(there, streamable, why):
    there(6.1)
    with pytest.raises(ValueError, match=rf"16 GB beside 4 GB, of 6\.1 GB .*{why}; what would: fewer --layers"):
        Auto().chosen(16 * GB, 32, 4 * GB, streamable)


@pytest.mark.parametrize(("mesh", "devices"), [(None, 1), ((4, 1), 4)])
def test_of_a_hosts_memory_all_counts_that_the_process_holds(monkeypatch, mesh, devices):
    """Without a mesh the default device has it alone, however many the process has."""
    mesh = None if mesh is None else make_mesh(*mesh)
    monkeypatch.setattr(memory, "memory_there_bytes", lambda: 10 * GB * devices)
    monkeypatch.setattr(memory, "resident_bytes", lambda: 7 * GB * devices)
    assert isinstance(Auto(mesh).chosen(2 * GB, 32, 0, True), Streamed)
    monkeypatch.setattr(memory, "resident_bytes", lambda: 5 * GB * devices)
    assert isinstance(Auto(mesh).chosen(2 * GB, 32, 0, True), Sharded if mesh else Replicated)
    with pytest.raises(ValueError, match=r"in fewer bits \(--storage\)$"):
        Auto(mesh).chosen(200 * GB, 32, 0, True)
