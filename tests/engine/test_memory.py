"""What memory there is, and which errors say that it ran out."""

import pytest

from causeway.engine import memory


def test_memory_of_the_host_is_more_than_the_process_holds():
    assert 0 < memory.resident_bytes() < memory.memory_there_bytes()


def test_errors_of_memory_are_known_through_what_they_caused():
    caused = ValueError("unit 3")
    caused.__cause__ = RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes")
    assert memory.is_out_of_memory(caused)
    assert memory.is_out_of_memory(MemoryError())


@pytest.mark.parametrize("error", [ValueError("Out of memory"), RuntimeError("INTERNAL: no"), OSError(28, "full")])
def test_other_errors_are_not(error):
    assert not memory.is_out_of_memory(error)
