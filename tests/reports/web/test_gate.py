"""What is worked on at once: nobody blocks the others, nothing grows without bound, and what breaks is replaced."""

import gc
import threading
import time
import weakref
from contextlib import ExitStack

import psutil
import pytest

from reports.web.asking import Asking
from reports.web.decoding import Decoder
from reports.web.framing import frame
from reports.web.gate import Gate, Room
from reports.web.refusal import Refusal
from reports.web.uploads import Upload
from tests.reports.web.conftest import LIMITS

HERE = "127.0.0.1"


def test_a_full_gate_and_a_full_share_are_refused_and_room_comes_back():
    gate = Gate(3, 2)
    with ExitStack() as stack:
        first = stack.enter_context(ExitStack())
        first.enter_context(gate.inside("me"))
        stack.enter_context(gate.inside("me"))
        with pytest.raises(Refusal, match="your address") as refused, gate.inside("me"):
            pass
        assert (refused.value.status, refused.value.again) == (429, 2)
        stack.enter_context(gate.inside("you"))
        with pytest.raises(Refusal, match="too many requests are being answered") as refused, gate.inside("another"):
            pass
        assert refused.value.status == 503
        first.close()
        with gate.inside("me"):
            assert gate.owners == {"me": 2, "you": 1}
    assert not gate.owners


def test_who_finds_no_room_waits_and_gives_up():
    room, order = Room(10), []

    def next_one():
        with room.held(8, time.monotonic() + 10):
            order.append("second")

    with room.held(7, time.monotonic()):
        waiting = threading.Thread(target=next_one)
        waiting.start()
        with pytest.raises(Refusal, match="the request took too long") as refused, room.held(4, time.monotonic() + 0.05):
            pass
        assert (refused.value.status, refused.value.again) == (503, 10)
        order.append("first")
    waiting.join(10)
    assert order == ["first", "second"]
    with room.held(99, time.monotonic()):  # more than there is: all of it
        assert room.left == 0
    assert room.left == 10


def test_the_page_answers_while_all_places_are_taken(desk, client, post, png):
    with ExitStack() as stack:
        for _ in range(LIMITS.share):
            stack.enter_context(desk.gate.inside(HERE))
        for address in ("predict", "explain", "report", "effects?model=model"):
            reply = post(f"/api/v1/{address}", ("a.png", png()))
            assert (reply.status_code, reply.headers["Retry-After"]) == (429, "2"), address
        for _ in range(LIMITS.waiting - LIMITS.share):
            stack.enter_context(desk.gate.inside("another"))
        assert post("/api/v1/predict", ("a.png", png())).status_code == 503
        assert client.get("/healthz").status_code == client.get("/").status_code == 200
    assert post("/api/v1/predict", ("a.png", png())).status_code == 200
    assert not desk.gate.owners
    assert desk.room.left == LIMITS.held


def test_parts_are_measured_once_for_an_address(desk, post, png):
    with desk.measuring.inside(HERE):
        reply = post("/api/v1/effects?model=model", ("a.png", png()))
    assert (reply.status_code, reply.headers["Retry-After"]) == (429, "2")
    assert "measured for your address" in reply.json["error"]


def test_a_request_ends_when_its_time_is_over(desk, post, png, monkeypatch):
    monkeypatch.setattr(desk, "until", lambda: time.monotonic() - 1)
    for address in ("predict", "report", "effects?model=model"):
        reply = post(f"/api/v1/{address}", ("a.png", png()))
        assert (reply.status_code, reply.headers["Retry-After"]) == (503, "10"), address
        assert "took too long" in reply.json["error"]


@pytest.mark.parametrize("ended", ["stopped", "killed"])
def test_a_broken_decoder_is_replaced(png, ended):
    others = psutil.Process().children()
    decoder = Decoder(LIMITS)
    try:
        first = decoder.pool
        if ended == "stopped":
            first.stop()
        else:  # as the system does when memory is short
            for process in psutil.Process().children():
                if process not in others and any("spawn_main" in word for word in process.cmdline()):
                    process.kill()
        for _ in range(3):
            try:
                assert decoder(png(11, 9)).shape == (9, 11, 3)
            except Refusal as refusal:  # the one that it was decoding
                assert "broke the decoder" in refusal.reason
        assert decoder(png()).shape == (8, 8, 3)
        if ended == "stopped":
            assert decoder.pool is not first
    finally:
        decoder.close()


def test_nobody_works_for_a_client_that_has_left(desk, post, png, monkeypatch):
    monkeypatch.setattr(desk, "opened", None)
    gone = {"waitress.client_disconnected": lambda: True}
    for address in ("predict", "report"):
        reply = post(f"/api/v1/{address}", ("a.png", png()), environ_overrides=gone)
        assert (reply.status_code, reply.json["error"]) == (503, "whoever asked has left")
    assert not desk.gate.owners


def test_a_refusal_does_not_hold_on_to_the_image(desk, png):
    kept = []

    def answer(image, served):
        kept.append(weakref.ref(image))
        return frame(image[:4], served.detector.preprocessing)

    asking = Asking(desk, list(desk.models.values()), answer, desk.until())
    asking.take(Upload("a.png", png()))
    assert [refusal.status for refusal in asking.refused] == [422, 422]
    assert "at least 8" in asking.refused[0].reason
    gc.collect()
    assert [image() for image in kept] == [None, None]
