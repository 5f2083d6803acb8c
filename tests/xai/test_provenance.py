"""What a run says of how it was made."""

import subprocess

from xai import provenance


def git(folder, *words):
    subprocess.run(["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", *words], check=True, capture_output=True)


def test_the_commit_of_a_checkout(tmp_path):
    assert provenance.commit(tmp_path) == ""  # installed, or unpacked from an archive
    git(tmp_path, "init", "-q")
    assert provenance.commit(tmp_path) == ""  # no commit yet
    (tmp_path / "file").write_text("one")
    git(tmp_path, "add", "file")
    git(tmp_path, "commit", "-qm", "one")
    clean = provenance.commit(tmp_path)
    assert len(clean) == 40
    (tmp_path / "file").write_text("two")
    assert provenance.commit(tmp_path) == clean + "+"


def test_a_folder_inside_somebody_elses_checkout_is_not_ours(tmp_path):
    git(tmp_path, "init", "-q")
    (tmp_path / "lib").mkdir()
    assert provenance.commit(tmp_path / "lib") == ""


def test_versions():
    found = provenance.versions()
    assert {"whyfake", "python", "numpy"} <= set(found) and all(found.values())
