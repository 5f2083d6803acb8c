"""What a process of the Ray engine answers, without Ray around it."""

import pickle
import sys
import threading

import pytest

from xai.engine import desk
from xai.errors import RunError, WhyfakeError


def at_desk(folder, attempts=2):
    """A desk without an actor around it, whose function doubles."""
    made = desk.Desk.__new__(desk.Desk)
    made.folder, made.attempts, made.host, made.work = folder, attempts, "here", lambda part: 2 * part
    return made


def test_a_part_is_tried_as_often_as_allowed(tmp_path):
    pytest.importorskip("ray")
    one = at_desk(tmp_path)
    kind, body = one.answer(3, pickle.dumps(21))
    assert (kind, pickle.loads(body)) == ("done", 42) and not list(tmp_path.iterdir())  # its mark is gone
    assert one.mark("3").name == "3.0" and one.mark("3").name == "3.1"  # two processes that never came back
    assert one.answer(3, pickle.dumps(21)) == ("failed", b"killed its process 2 times on here; too little memory is the usual cause")
    assert one.answer(31, pickle.dumps(1))[0] == "done"  # another part, whose name begins alike


def test_what_goes_wrong_in_a_part_becomes_an_answer(tmp_path):
    pytest.importorskip("ray")
    one = at_desk(tmp_path)
    for raised, expected in (
        (KeyError("a"), ("failed", b"KeyError: 'a'")),
        (SystemExit(3), ("failed", b"SystemExit: 3")),
        (MemoryError(), ("failed", b"MemoryError: ")),
    ):

        def work(part, raised=raised):
            raise raised

        one.work = work
        assert one.answer(0, pickle.dumps(0)) == expected
    one.work = lambda part: lambda: None
    assert one.answer(0, pickle.dumps(0))[0] == "done"  # even that can be pickled here
    one.work = lambda part: threading.Lock()
    assert one.answer(0, pickle.dumps(0)) == ("failed", b"TypeError: cannot pickle '_thread.lock' object")
    one.folder = tmp_path / "gone"
    kind, body = one.answer(0, pickle.dumps(0))
    assert kind == "raised" and "cannot be written on machine here: No such file or directory" in str(pickle.loads(body))


def test_a_machine_that_does_not_see_the_folder_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(desk, "SEEN", 0.3)
    one = at_desk(tmp_path / "marks" / "ray-1")
    with pytest.raises(RunError, match=r"^machine here does not see '.*/marks'; give an --out that all machines share$"):
        one.see()
    (tmp_path / "marks" / "ray-1").mkdir(parents=True)
    one.see()


def test_a_machine_without_whyfake_or_with_another_says_so(tmp_path, monkeypatch):
    pytest.importorskip("ray")
    monkeypatch.setitem(sys.modules, "xai.engine.desk", None)
    actor = desk.actor_class(b"", str(tmp_path), 3, "9.9")()
    answer = actor({"number": 4, "part": b""})
    assert (answer["number"], answer["kind"]) == (4, "halt")
    assert b" has no whyfake 9.9 (" in answer["body"] and answer["body"].endswith(b"install the same on all machines")
    other = desk.Desk(b"", str(tmp_path), 3, "0.0.0")
    kind, body = other.answer(0, b"")
    assert kind == "raised" and " has whyfake " in str(pickle.loads(body)) and ", not 0.0.0: install the same" in str(pickle.loads(body))


def test_an_error_that_cannot_be_pickled_comes_as_its_line():
    class Odd(WhyfakeError):
        def __init__(self, one, two):
            super().__init__(f"{one} and {two}")

    assert desk.raised(Odd(1, 2)) == ("halt", b"1 and 2")
    kind, body = desk.raised(RunError("full"))
    assert kind == "raised" and isinstance(pickle.loads(body), RunError)
