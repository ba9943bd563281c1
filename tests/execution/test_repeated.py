"""What is repeated beside a block runs while it does, in a thread that ends with it, whatever ends the block."""

from __future__ import annotations

import threading

import pytest

from transfercast.execution.repeated import repeated


def test_an_action_is_repeated_while_the_block_runs_and_no_longer():
    twice, calls = threading.Semaphore(0), []

    def action():
        calls.append(threading.current_thread())
        twice.release()

    with repeated(action, 0.001, "a name", at_end=lambda: calls.append("the end")):
        assert twice.acquire(timeout=20)
        assert twice.acquire(timeout=20)
    ended = list(calls)
    assert ended[-1] == "the end"
    assert {thread.name for thread in ended[:-1]} == {"a name"}
    assert not ended[0].is_alive()


def test_the_thread_ends_with_a_block_that_fails():
    with pytest.raises(RuntimeError), repeated(lambda: None, 60.0, "to be ended"):
        raise RuntimeError
    assert "to be ended" not in [thread.name for thread in threading.enumerate()]
