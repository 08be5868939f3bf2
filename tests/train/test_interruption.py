"""Ctrl-C is answered at once, granted when a step is whole, and the second time, or where nothing is lost, at once."""

import signal

import pytest

from qwen3_reranker.train.interruption import STOPPING, Interruption


def test_the_first_is_a_wish_that_is_acknowledged_and_the_second_ends_it() -> None:
    told: list[str] = []
    with Interruption(told.append) as interruption:
        signal.raise_signal(signal.SIGINT)
        assert interruption.requested
        assert told == [STOPPING]
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_what_can_be_done_again_is_left_at_the_first() -> None:
    with Interruption() as interruption:
        with pytest.raises(KeyboardInterrupt), interruption.at_once():
            signal.raise_signal(signal.SIGINT)
        assert not interruption.requested


def test_a_stream_that_refuses_the_acknowledgement_does_not_end_the_run() -> None:
    def refuse(line: str) -> None:
        raise RuntimeError("reentrant call inside <_io.BufferedWriter name='<stderr>'>")

    with Interruption(refuse) as interruption:
        signal.raise_signal(signal.SIGINT)
    assert interruption.requested
