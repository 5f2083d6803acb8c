"""What control groups leave a process, read from folders like theirs."""

import psutil
import pytest

from xai.free import free

GIB = 2**30


def group(place, limit, use, cached, old=False):
    place.mkdir(parents=True, exist_ok=True)
    names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file") if old else ("memory.max", "memory.current", "inactive_file")
    (place / names[0]).write_text(f"{limit}\n")
    (place / names[1]).write_text(f"{use}\n")
    (place / "memory.stat").write_text(f"anon 5\n{names[2]} {cached}\nslab 1\n")


@pytest.fixture(autouse=True)
def large(monkeypatch):
    class Memory:
        available = 100 * GIB

    monkeypatch.setattr(psutil, "virtual_memory", Memory)


def test_a_container(tmp_path):
    """Its own group is the mount's root, whatever /proc says of the path outside."""
    (tmp_path / "ours").write_text("0::/\n")
    group(tmp_path / "groups", 8 * GIB, 3 * GIB, GIB)
    assert free(tmp_path / "groups", tmp_path / "ours") == 6 * GIB


def test_a_job_in_a_bounded_slice(tmp_path):
    (tmp_path / "ours").write_text("0::/jobs/job_7/step\n")
    group(tmp_path / "groups" / "jobs" / "job_7" / "step", "max", GIB, 0)
    group(tmp_path / "groups" / "jobs" / "job_7", 16 * GIB, 2 * GIB, 0)
    group(tmp_path / "groups" / "jobs", 12 * GIB, 11 * GIB, 0)
    assert free(tmp_path / "groups", tmp_path / "ours") == GIB


def test_control_groups_of_the_first_version(tmp_path):
    (tmp_path / "ours").write_text("9:name=systemd:/\n4:memory:/docker/abc\n2:cpuacct,cpu:/x\n0::/\n")
    group(tmp_path / "groups" / "memory", 4 * GIB, 3 * GIB, 0, old=True)
    assert free(tmp_path / "groups", tmp_path / "ours") == GIB
    group(tmp_path / "groups" / "memory", 4 * GIB, 5 * GIB, 0, old=True)
    assert free(tmp_path / "groups", tmp_path / "ours") == 0


@pytest.mark.parametrize("text", ["0::/\n", "nonsense\n", ""])
def test_no_bound(tmp_path, text):
    (tmp_path / "ours").write_text(text)
    group(tmp_path / "groups", "max", GIB, 0)
    assert free(tmp_path / "groups", tmp_path / "ours") == 100 * GIB
    assert free(tmp_path / "groups", tmp_path / "missing") == 100 * GIB
