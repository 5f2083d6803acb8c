"""Objects behind URLs, in fsspec's memory: read again where the network fails, told in one line where it stays away."""

import sys

import numpy as np
import pytest

from tests.archives import encoded, memory, pixels, tarred
from xai import remote
from xai.errors import DataError, ImageError
from xai.images import find, read
from xai.places import Place, Unreachable, readers

fsspec = pytest.importorskip("fsspec")


@pytest.fixture(autouse=True)
def no_pause(monkeypatch):
    """Try again at once, and start untired."""
    monkeypatch.setattr(remote, "PAUSE", 0)
    monkeypatch.setattr(remote, "failed", 0)


@pytest.fixture
def bucket():
    """A function that puts objects into memory://."""
    with memory() as put:
        yield put


def test_failures_are_tried_again_and_then_told(bucket, monkeypatch):
    bucket({"b/faces/real/1.png": encoded(1)})
    place = find(["memory://b/faces/real/1.png"])[0]
    system, calls = type(fsspec.filesystem("memory")), []
    whole = system.cat_file

    def flaky(self, path, start=None, end=None, **options):
        calls.append(path)
        if len(calls) < remote.TRIES:
            raise ConnectionResetError("the line\nis down")
        return whole(self, path, start, end, **options)

    monkeypatch.setattr(system, "cat_file", flaky)
    assert np.array_equal(read(place), pixels(1)) and len(calls) == remote.TRIES

    def down(self, path, start=None, end=None, **options):
        calls.append(path)
        raise TimeoutError("the line\nis down")

    monkeypatch.setattr(system, "cat_file", down)
    for number in range(1, remote.TIRED + 3):
        calls.clear()
        kind = ImageError if number < remote.TIRED else Unreachable  # not every image of a million is listed as unreadable
        with pytest.raises(kind, match=r"'memory://b/faces/real/1.png' cannot be reached \(the line is down\); check the network and run"):
            read(place)
        assert len(calls) == remote.TRIES
    monkeypatch.setattr(remote, "PATIENCE", -1)
    calls.clear()
    with pytest.raises(Unreachable, match="images in a row could not be read, what is done is kept"):
        read(place)
    assert len(calls) == 1  # a package that waited long has tried again itself
    monkeypatch.setattr(system, "cat_file", whole)
    assert read(place).shape == (12, 12, 3) and remote.failed == 0
    monkeypatch.setattr(system, "cat_file", lambda *given, **options: (_ for _ in ()).throw(PermissionError("Forbidden")))
    with pytest.raises(ImageError, match=r"may not be read \(Forbidden\); give credentials"):
        read(place)


def test_a_refusal_is_not_asked_again_and_shows_no_secret(bucket, monkeypatch):
    class Refused(Exception):
        status = 403

    calls = []

    def refuse(self, path, **options):
        calls.append(path)
        raise Refused("403, message='Forbidden', url='https://me:word@host/a.png?X-Signature=secret&x=1'")

    monkeypatch.setattr(type(fsspec.filesystem("memory")), "cat_file", refuse)
    for _ in range(remote.TIRED + 1):
        with pytest.raises(ImageError, match=r"may not be read \(403, message='Forbidden', url='https://host/a.png'\); give credentials") as caught:
            read(Place(remote.Bucket("memory://b"), "a.png"))
        assert "secret" not in str(caught.value) and "word" not in str(caught.value)
    assert len(calls) == remote.TIRED + 1


def test_a_server_that_sends_whole_files_is_noticed(bucket, monkeypatch):
    bucket({"b/a.tar": tarred([("1.png", encoded(1)), ("2.png", encoded(2))])})
    place = find(["memory://b/a.tar"])[0]
    system = type(fsspec.filesystem("memory"))
    whole = system.cat_file
    monkeypatch.setattr(system, "cat_file", lambda self, path, start=None, end=None, **options: whole(self, path))
    with pytest.raises(ImageError, match=r"memory://b/a.tar': the server sends whole files only, not parts; download it"):
        read(place)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(DataError, match=r"'s3://bucket/faces': .*s3fs.*; pip install 'whyfake\[remote\]'"):
        find(["s3://bucket/faces"])
    monkeypatch.setitem(sys.modules, "fsspec.core", None)
    with pytest.raises(DataError, match=r"reading URLs needs the package fsspec; pip install 'whyfake\[remote\]'"):
        find(["memory://b/faces"])
    with pytest.raises(ImageError, match=r"needs the package fsspec"):
        read(Place(remote.Bucket("memory://b"), "1.png"))


def test_what_is_far_is_read_by_more_threads():
    assert readers([Place(remote.Bucket("s3://b"), "1.png")], 2) == 16 and readers([Place(remote.Bucket("memory://b"), "1.png")], 2) == 2
