"""The leak test: what it must find, what it must not, and how often its interval holds."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from train.filefacts import Facts
from train.leak import chosen, crossed, interval, leak, matrices, numbers
from train.leakwords import ALL, recipe, remedy


def fact(size=1000, quality=75, **other):
    given = {"width": 64, "height": 64, "mode": "RGB", "format": "JPEG", "suffix": ".jpg", "suffix_fits": True}
    return Facts(bytes=int(size), **given | {"quality": quality, "step": 100.0 - quality if quality else None, "subsampling": "4:2:0"} | other)


def sets(reals, fakes):
    """Return facts, labels and no contents."""
    return [*reals, *fakes], ["real"] * len(reals) + ["fake"] * len(fakes), [""] * (len(reals) + len(fakes))


def family(found, name):
    return next(family for family in found["families"] if family["name"] == name)


def test_a_file_size_that_tells_all_is_found_and_named_first():
    rng = np.random.default_rng(0)
    found = leak(*sets([fact(s) for s in rng.integers(90_000, 120_000, 60)], [fact(s, 100) for s in rng.integers(500_000, 600_000, 24)]))
    assert [f["name"] for f in found["families"]][:2] == ["file size", "quality"]
    assert family(found, "file size")["auc"] == 1.0
    assert found["verdict"] == "severe" and found["sentence"].startswith("File size alone tells real from fake almost without fail: AUC 1.00")
    assert "quality=75" in found["do"] and "(64, 64)" in found["do"]
    assert family(found, "format") == {
        "name": "format", "auc": 0.5, "interval": None, "verdict": "none", "difference": "the same in every file: JPEG RGB"
    }  # fmt: skip
    assert "bits per pixel" not in {f["name"] for f in found["families"]}  # all images have as many pixels


@pytest.mark.parametrize(
    ("change", "name", "words"),
    [
        ({"width": 32, "height": 32}, "dimensions", "32 × 32: 0 % of reals, 100 % of fakes"),
        ({"format": "PNG", "quality": None}, "format", "JPEG RGB: 100 % of reals, 0 % of fakes"),
        ({"subsampling": "4:4:4"}, "quality", "quality 75, 4:2:0: 100 % of reals, 0 % of fakes"),
        ({"metadata": ("Exif",), "metadata_bytes": 99}, "metadata", "Exif: 0 % of reals, 100 % of fakes"),
    ],
)
def test_each_family_finds_its_own(change, name, words):
    found = leak(*sets([fact()] * 20, [fact(**change)] * 20))
    assert (family(found, name)["auc"], family(found, name)["difference"]) == (1.0, words)
    assert family(found, ALL)["auc"] == 1.0


def test_relations_that_rise_and_fall_and_missing_values_are_found():
    rng = np.random.default_rng(1)
    x = rng.normal(0, 1, 400)
    truth = (np.abs(x) > 0.7).astype(int)
    assert abs(roc_auc_score(truth, x) - 0.5) < 0.1
    assert crossed(x[:, None], truth, 5, 1, 0) > 0.97
    x[truth == 1] = np.nan
    assert crossed(x[:, None], truth, 5, 1, 0) == 1.0


def test_a_weak_trend_is_not_lost():
    rng = np.random.default_rng(7)
    truth = np.arange(1200) % 2
    x = rng.normal(0.25 * truth, 1)
    assert crossed(x[:, None], truth, 5, 1, 0) == pytest.approx(roc_auc_score(truth, x), abs=0.02)


def test_shuffled_labels_tell_nothing():
    rng = np.random.default_rng(2)
    facts = [fact(size, int(quality)) for size, quality in zip(rng.integers(1000, 9000, 200), rng.integers(60, 95, 200), strict=True)]
    labels = rng.permutation(["real"] * 100 + ["fake"] * 100).tolist()
    found = leak(facts, labels, [""] * 200)
    assert abs(family(found, ALL)["auc"] - 0.5) < 0.12
    assert found["verdict"] in ("none", "slight")
    assert found == leak(facts, labels, [""] * 200)


def test_the_auc_of_noise_is_not_too_low_in_small_sets():
    rng = np.random.default_rng(3)
    truth = np.arange(24) % 2
    aucs = [crossed(rng.normal(size=(24, 2)), truth, 5, 1, seed) for seed in range(20)]
    assert abs(np.mean(aucs) - 0.5) < 3 * np.std(aucs) / 20**0.5


def test_copies_do_not_help():
    # Unique random sizes: nothing to learn, but a tree that has seen a copy would know its label.
    rng = np.random.default_rng(4)
    sizes, labels = rng.permutation(10_000)[:60], ["real", "fake"] * 30
    facts = [fact(size) for size in sizes for _ in range(8)]
    found = leak(facts, [label for label in labels for _ in range(8)], [f"file {i}" for i in range(60) for _ in range(8)])
    assert (found["images"], found["real"], found["fake"]) == (60, 30, 30)
    assert found["verdict"] in ("none", "slight")


def test_what_stands_in_both_classes_is_left_out():
    assert chosen(["real", "fake", "real", "fake", "fake"], ["a", "a", "b", "c", "c"], 0) == [2, 3]
    assert chosen(["real", "real"], ["", ""], 0) == [0, 1]  # not hashed: each is its own


def test_too_few_are_not_tested():
    found = leak(*sets([fact()] * 50, [fact(9)] * 9))
    assert (found["verdict"], found["families"]) == ("untested", [])
    assert "50 real and 9 fake different images, 10 of each are needed" in found["sentence"]


def test_matrices_hold_what_differs():
    tables = dict(matrices([fact(1), fact(2, None, metadata=("ICC",)), fact(3)]))
    assert tables["file size"].tolist() == [[1], [2], [3]]
    assert tables["dimensions"].shape == (3, 0)
    assert np.isnan(tables["quality"]).sum() == 2  # the quality and the step of one file
    assert tables["metadata"].tolist() == [[0], [1], [0]]
    assert tables[ALL].shape == (3, 4)
    assert numbers(["JPEG", "PNG", "JPEG"]).tolist() == [0, 1, 0]


def test_interval_by_hand():
    # at 0.5 the variance is 1.5 / 4 * (1 + 2 h / 3) / mn with h = (m + n) / 2 - 1; the interval is symmetric there
    low, high = interval(0.5, 50, 50)
    assert low + high == pytest.approx(1)
    assert (0.5 - low) ** 2 == pytest.approx(
        1.959964**2 * 1.5 * low * (1 - low) * (1 + 49 * (1 - low) / (2 - low) + 49 * low / (1 + low)) / 2500, rel=1e-4
    )
    assert interval(1, 20, 20)[1] == 1 and 0.8 < interval(1, 20, 20)[0] < 0.95
    assert interval(0, 20, 20) == pytest.approx((0, 1 - interval(1, 20, 20)[0]))
    widths = [np.subtract(*interval(0.8, n, n)[::-1]) for n in (20, 80, 320)]
    assert widths[0] > 1.8 * widths[1] > 3.2 * widths[2]


@pytest.mark.parametrize("shift", [0.0, 1.5])
def test_the_interval_holds_the_truth(shift):
    """20 drawn sets of 100 files: the mean AUC of models trained on as many files lies within nearly always."""
    rng = np.random.default_rng(5)
    truth = np.repeat([0, 1], 50)
    aucs = [crossed(rng.normal(shift * truth, 1)[:, None], truth, 5, 1, seed) for seed in range(20)]
    middle = float(np.mean(aucs))  # unbiased for the expected AUC of models trained on 80 files
    held = np.mean([low <= middle <= high for low, high in (interval(auc, 50, 50) for auc in aucs)])
    assert held >= 0.8  # 0.95 less three standard errors of 20 draws


def test_what_to_do_depends_on_where_it_leaks():
    rng = np.random.default_rng(6)
    alike = leak(*sets([fact(s) for s in rng.integers(1000, 1500, 40)], [fact(s) for s in rng.integers(1400, 2000, 40)]))
    assert "pictures of one class hold more detail or noise" in alike["do"]
    marked = leak(*sets([fact()] * 20, [fact(metadata=("Exif",))] * 20))
    assert "does not see what stands around the pixels" in marked["do"]
    assert remedy([{"name": "file size", "auc": 0.5, "verdict": "none"}], [], np.zeros(0)).startswith("Nothing has to be done")
    png = [fact(quality=None, format="PNG", width=width) for width in (64, 32)]
    assert recipe(png, np.array([0, 1])).endswith("resize((32, 64), Image.Resampling.LANCZOS).save(copy, 'PNG')")
