"""The line in front of the network: nobody is lost, nobody takes all of it."""

import threading
import time

import pytest

from reports.web.line import TURNS, Line
from reports.web.refusal import Refusal


@pytest.fixture
def line():
    made = Line(waiting=4, share=3)
    yield made
    made.close()


class Slow:
    """Work that waits until it may go on, and remembers what it was given."""

    def __init__(self):
        self.go, self.seen = threading.Event(), []

    def __call__(self, values):
        self.go.wait(10)
        self.seen.append(list(values))
        return [2 * value for value in values]


def held(line, slow):
    """Start some work and wait until the thread is at it."""
    first = line.ask("hold", 0, slow, 1, "")
    while line.later:
        time.sleep(0.001)
    return first


def test_equal_wishes_are_done_together_up_to_the_batch(line):
    slow = Slow()
    held(line, slow)
    found = [line.ask("a", value, slow, 2, f"client {value}") for value in (1, 2, 3)]
    slow.go.set()
    assert [future.result(5) for future in found] == [2, 4, 6]
    assert slow.seen == [[0], [1, 2], [3]]


def test_other_wishes_keep_their_turn_and_background_work_comes_last(line):
    slow = Slow()
    held(line, slow)
    later = line.ask("effects", 9, slow, 1, "")
    found = [line.ask(key, value, slow, 8, "me") for key, value in (("a", 1), ("b", 2), ("a", 3))]
    slow.go.set()
    assert [future.result(5) for future in [*found, later]] == [2, 4, 6, 18]
    assert slow.seen == [[0], [1, 3], [2], [9]]


def test_a_full_line_and_a_full_share_are_refused_and_room_comes_back(line):
    slow = Slow()
    held(line, slow)
    found = [line.ask("a", value, slow, 1, "me") for value in range(3)]
    with pytest.raises(Refusal, match="your address") as refused:
        line.ask("a", 9, slow, 1, "me")
    assert (refused.value.status, refused.value.again) == (429, 2)
    found.append(line.ask("a", 3, slow, 1, "you"))
    with pytest.raises(Refusal, match="too many images are waiting") as refused:
        line.ask("a", 9, slow, 1, "another")
    assert (refused.value.status, refused.value.again) == (503, 2)
    slow.go.set()
    assert [future.result(5) for future in found] == [0, 2, 4, 6]
    assert line.ask("a", 5, slow, 1, "me").result(5) == 10


def test_an_error_reaches_those_who_wished_and_the_thread_goes_on(line):
    def broken(values):
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        line.ask("a", 1, broken, 1, "me").result(5)
    assert line.ask("a", 1, lambda values: values, 1, "me").result(5) == 1


def test_one_who_gave_up_is_passed_over(line):
    slow = Slow()
    held(line, slow)
    left, stays = line.ask("a", 1, slow, 2, "me"), line.ask("a", 2, slow, 2, "me")
    assert left.cancel()
    slow.go.set()
    assert stays.result(5) == 4
    assert slow.seen == [[0], [2]]


def test_a_closed_line_ends_what_it_does_and_refuses_the_rest():
    line, slow = Line(4, 4), Slow()
    first = held(line, slow)
    found = line.ask("a", 1, slow, 1, "me")
    closing = threading.Thread(target=line.close)
    closing.start()
    with pytest.raises(Refusal, match="stopping"):
        found.result(5)
    with pytest.raises(Refusal, match="stopping"):
        line.ask("a", 1, slow, 1, "me")
    slow.go.set()
    closing.join(5)
    assert first.result(0) == 0
    assert slow.seen == [[0]]


def test_background_work_has_its_turn_under_a_steady_load():
    line, slow = Line(30, 30), Slow()
    held(line, slow)
    later = line.ask("effects", -1, slow, 1, "")
    found = [line.ask(value, value, slow, 1, "me") for value in range(1, 13)]
    slow.go.set()
    assert [future.result(5) for future in [later, *found]] == [-2, *(2 * value for value in range(1, 13))]
    assert slow.seen.index([-1]) == 1 + TURNS
    line.close()
