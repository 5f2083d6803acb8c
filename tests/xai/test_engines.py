"""Wherever shards are made, they are the same."""

import json
from dataclasses import replace

import numpy as np
import pytest

from train.audit import Items
from train.datasets import scan
from xai import audit as auditing
from xai import load, wrap
from xai.audit import audit
from xai.engine import cluster
from xai.engine.engines import Engine, open_worker
from xai.errors import ModelError, RunError
from xai.items import Work, known
from xai.provenance import Request

REQUEST = Request(layers="conv2d_3", methods=("hirescam", "activation"), regions="template")


@pytest.fixture
def small_shards(monkeypatch):
    monkeypatch.setattr(auditing, "SHARD", 8)


def run(detector, faces, out, **options):
    lines: list[str] = []
    return audit(detector, Items(scan(faces)), out, REQUEST, say=lines.append, **options), lines


@pytest.mark.cluster
def test_ray_and_this_process_make_the_same(trained, portraits, tmp_path, small_shards):
    pytest.importorskip("ray")
    detector = load(trained.model)
    here, _ = run(detector, portraits, tmp_path / "here")
    there, lines = run(detector, portraits, tmp_path / "there", engine=Engine("ray", actors=1))
    assert {path.name for path in (tmp_path / "here" / "shards").iterdir()} == {path.name for path in (tmp_path / "there" / "shards").iterdir()}
    assert (here.folder / "images.csv").read_text().count("\n") == (there.folder / "images.csv").read_text().count("\n") == 41
    for one, two in zip(here.summary["maps"], there.summary["maps"], strict=True):
        assert [one[key] for key in ("group", "layer", "method", "count", "empty")] == [
            two[key] for key in ("group", "layer", "method", "count", "empty")
        ]
        assert (one["mean_maximum"] or 0) == pytest.approx(two["mean_maximum"] or 0, rel=1e-6)
    again, lines = run(detector, portraits, tmp_path / "there")  # what Ray made, this process takes up
    assert lines[-1] == "went on from an earlier run: 5 of 5 shards were there" and again.summary == there.summary


def test_a_poison_shard_is_listed_and_the_rest_counts(trained, portraits, tmp_path, small_shards, monkeypatch):
    """A part that kills its process is bounded by the engine; its images are skipped with the reason, and tried again next time."""
    original = auditing.LOCAL.run

    def poisoned(self, *arguments):
        for number, made in original(*arguments):
            yield number, cluster.Trouble("it ended its process 3 times") if number == 2 else made

    with monkeypatch.context() as patch:
        patch.setattr(Engine, "run", poisoned)
        result, lines = run(load(trained.model), portraits, tmp_path / "run")
    assert result.summary["images"]["read"] == 32 and len(result.skipped) == 8
    assert set(result.skipped.values()) == {"its shard could not be made: it ended its process 3 times"}
    assert lines[-1] == "1 of 5 shards could not be made; the same command tries them again"
    assert len(json.loads((result.folder / "run.json").read_text())["shards"]["names"]) == 4
    whole, _ = run(load(trained.model), portraits, tmp_path / "run")
    assert whole.summary["images"]["read"] == 40 and not whole.skipped


def test_a_worker_is_opened_from_the_file_as_the_detector_was(trained, tmp_path):
    detector = replace(load(trained.model), positive="real").stretch()
    work = Work(("conv2d_3",), ("hirescam",), (32, 8), stretch=True)
    worker = open_worker(str(trained.model), detector.options, known(detector), work, tmp_path, 4)
    assert worker.known == known(detector) and worker.batch_size == 4
    assert worker.detector.layers["conv2d_3"].placement == detector.layers["conv2d_3"].placement
    other = known(detector) | {"model": "0" * 64}
    with pytest.raises(RunError, match="is another model on one of the machines"):
        open_worker(str(trained.model), detector.options, other, work, tmp_path, 4)


def test_what_ray_cannot_be_given(tiny, tmp_path, whyfake, portraits, trained):
    with pytest.raises(ModelError, match="every process loads the model from its file"):
        next(Engine("ray").run(tiny, Work(("conv",), ("hirescam",), (32, 8)), [[]], tmp_path, None, lambda count: None))
    assert wrap(tiny.model).options is None
    wrong = whyfake("audit", trained.model, portraits, "--out", tmp_path / "run", "--address", "auto")
    assert wrong.exit_code == 2 and "--address is for --engine ray" in wrong.output


def test_the_parts_of_a_run_do_not_depend_on_the_engine(portraits):
    items = Items(scan(portraits), np.arange(40) % 2 == 0)
    assert [item.kept for item in items[:4]] == [True, False, True, False] and items[39].index == 39
