"""How far a step is: told after a while, on a terminal as a bar, and once where steps are inside one another."""

import io
import time

import pytest

from causeway.engine import progress
from causeway.engine.progress import Step, each


class Terminal(io.StringIO):
    def isatty(self):
        return True


def lines(total, advances, **how):
    """What a step writes that is advanced at these times."""
    now, stream = [0.0], how.pop("stream", io.StringIO())
    with Step("prompts read", total, how.pop("unit", "prompt"), stream=stream, clock=lambda: now[0], **how) as step:
        for seconds, count in advances:
            now[0] = seconds
            step.advance(count)
    return stream.getvalue().splitlines()


def test_short_steps_say_nothing():
    assert lines(10, [(1.0, 5), (29.0, 5)]) == []


def test_a_line_each_half_minute():
    told = lines(3000, [(10.0, 500), (30.0, 1000), (45.0, 100), (60.0, 400)])
    assert told == [
        "prompts read: 1,500 of 3,000 prompts, 50 a second, 0:00:30 left",
        "prompts read: 2,000 of 3,000 prompts, 33.3 a second, 0:00:30 left",
    ]


def test_bytes_are_told_in_gigabytes_and_what_was_there_before_has_no_rate():
    told = lines(16_000_000_000, [(40.0, 4_000_000_000)], unit="B", done=8_000_000_000)
    assert told == ["prompts read: 12.00 GB of 16.00 GB, 0.10 GB a second, 0:00:40 left"]


def test_a_terminal_gets_a_bar():
    stream = Terminal()
    with Step("rows", 8, "row", bar_alone=True, stream=stream) as step:
        assert step.has_bar
        step.advance(8)
    assert "8/8" in stream.getvalue()
    assert lines(10, [(40.0, 5)], stream=Terminal(), bar_alone=True) != []


def test_a_step_inside_another_is_silent():
    outer = io.StringIO()
    with Step("outer", 2, "prompt", stream=outer):
        assert lines(10, [(40.0, 5)]) == []
    assert lines(10, [(40.0, 5)]) != []


def test_time_is_told_while_nothing_is_advanced(monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.01)
    monkeypatch.setattr(progress, "_REFRESH", 0.01)
    monkeypatch.setattr(progress, "INTERVAL", 0.05)
    stream, terminal = io.StringIO(), Terminal()
    with Step("prompts read", 8, "prompt", stream=stream):
        time.sleep(0.3)
    assert "prompts read: 0 of 8 prompts, 0 a second, time left unknown" in stream.getvalue()
    with Step("prompts read", 8, "prompt", stream=terminal):
        time.sleep(0.3)
    assert "prompts read:   0%" in terminal.getvalue()


def test_it_can_be_silenced(monkeypatch):
    monkeypatch.setenv("TQDM_DISABLE", "1")
    assert lines(10, [(40.0, 5)]) == []


def test_a_step_that_fails_is_over():
    with pytest.raises(RuntimeError), Step("outer", 2, "prompt"):
        raise RuntimeError
    assert lines(10, [(40.0, 5)]) != []


def test_items_are_counted_as_they_are_taken():
    assert list(each("layers", range(5), "layer")) == list(range(5))
    left = each("layers", iter("abc"), "layer", 3)
    next(left)
    left.close()
    assert lines(10, [(40.0, 5)]) != []


def test_a_generator_that_an_error_leaves_half_taken_is_over(monkeypatch):
    def taken(fails):
        left = each("layers", range(3), "layer")
        next(left)
        if fails:
            raise RuntimeError
        assert lines(10, [(40.0, 5)]) == []

    taken(fails=False)
    for wait in (60.0, 0.01):
        monkeypatch.setattr(progress, "DELAY", wait)
        with pytest.raises(RuntimeError) as kept:
            taken(fails=True)
        if wait < 1:
            end = time.monotonic() + 10
            while progress._open and time.monotonic() < end:
                time.sleep(0.01)
            assert not progress._open
        assert lines(10, [(40.0, 5)]) != []
        assert kept.tb
