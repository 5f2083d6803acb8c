"""What regions do to the logit, against sums that a reader can do by hand."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from xai.errors import DataError, ImageError, WhyfakeError
from xai.items import Item
from xai.preprocess import Preprocessing
from xai.probes import measure as workflow
from xai.probes.donors import Donor, Piece, choose, gather, rank, stream, sums, tone
from xai.probes.effects import answers, effects
from xai.probes.measure import measure
from xai.probes.plan import KINDS, Subject, cut
from xai.probes.swap import Face, region
from xai.regions.parts import Parts

NAMES = ("background", "skin", "left_eye", "right_eye", "nose", "mouth")
ROWS = {"skin": (1,), "eyes": (2, 3), "nose": (4,), "mouth": (5,)}
SIZE = 64


def parts_of(right: int = 0) -> Parts:
    labels = np.zeros((SIZE, SIZE), np.uint8)
    for value, (top, bottom, left, end) in {
        1: (8, 60, 8, 52),
        2: (20, 26, 14, 24),
        3: (20, 26, 34, 44),
        4: (30, 40, 25, 33),
        5: (46, 52, 20, 38),
    }.items():
        labels[top:bottom, left + right : end + right] = value
    return Parts(labels, NAMES, np.ones(len(NAMES), np.float32))


def linear(weights: np.ndarray, threshold: float = 0.5) -> SimpleNamespace:
    """A detector whose logit is the sum of weights times pixels."""
    calls: list[int] = []

    def logits(images: np.ndarray) -> np.ndarray:
        calls.append(len(images))
        return (images.astype(np.float64) * weights).sum((1, 2, 3))

    preprocessing = Preprocessing(SIZE, SIZE)
    return SimpleNamespace(
        logits=logits, preprocessing=preprocessing, threshold=threshold, size=(SIZE, SIZE), sha256="w", positive="fake", gradients=False, calls=calls,
        head=SimpleNamespace(text="the sum"),
    )  # fmt: skip


def image_of(seed: int, nose: int = 100) -> np.ndarray:
    """A grey face with noise in the background alone and a nose of one colour."""
    labels, rng = parts_of().labels, np.random.default_rng(seed)
    image = np.full((SIZE, SIZE, 3), 100, np.uint8)
    image[labels == 0] = rng.integers(60, 200, ((labels == 0).sum(), 3))
    image[labels == 4] = nose
    return image


def donor_of(index: int, image: np.ndarray, right: int = 0) -> Donor:
    return Donor.of(index, f"donor{index}", image, parts_of(right), Preprocessing(SIZE, SIZE))


def subject_of(image: np.ndarray, label: str = "fake", sha256: str = "one") -> Subject:
    return Subject(Face(image.astype(np.float32), parts_of()), label, sha256)


@pytest.fixture
def weights() -> np.ndarray:
    """The nose's red speaks for fake."""
    weights = np.zeros((SIZE, SIZE, 3))
    weights[parts_of().labels == 4, 0] = 0.01
    return weights


@pytest.fixture
def pools() -> dict[str, list[Donor]]:
    return {
        "real": [donor_of(index, image_of(index, nose=60)) for index in range(4)],
        "fake": [donor_of(index, image_of(index, nose=100)) for index in range(10, 14)],
    }


class TestEffects:
    def test_of_a_swap_is_weights_times_what_changed(self, weights, pools):
        """Red of the nose goes from 100 to 60, but for what its edge keeps; the fakes' noses are as red as its own."""
        subject = subject_of(image_of(99))
        found = effects(linear(weights), [subject], pools, ROWS, donors=2)[0]
        alpha = region(subject.face.parts.labels == 4).alpha
        by_hand = 0.01 * alpha.sum() * (60 - 100)
        opposite, same, patch, blur = (found.delta[:, column] for column in range(4))
        assert found.logit == pytest.approx(0.01 * 80 * 100)
        assert opposite[2].tolist() == pytest.approx([by_hand, by_hand], rel=1e-6)
        assert opposite[[0, 1, 3]].tolist() == [[0, 0]] * 3 and same.tolist() == [[0, 0]] * 4
        assert np.isfinite(patch[1:]).any() and np.isnan(blur[:, 1]).all() and np.isfinite(blur[:, 0]).all()
        assert found.area.tolist() == pytest.approx([count / SIZE**2 for count in (52 * 44 - 2 * 60 - 80 - 108, 120, 80, 108)])

    def test_of_real_images_has_the_other_sign(self, weights, pools):
        found = effects(linear(weights), [subject_of(image_of(99, nose=60), "real")], pools, ROWS, donors=1, kinds=("opposite",))[0]
        assert found.delta[2, 0, 0] > 0 and set(found.donor[:, 0, 0]) <= {10, 11, 12, 13}

    def test_detector_that_ignores_a_region(self, weights, pools):
        found = effects(
            linear(weights), [subject_of(image_of(99))], pools, {"eyes": (2, 3), "mouth": (5,)}, kinds=("opposite", "same", "blur", "grey")
        )[0]
        assert np.nanmax(np.abs(found.delta)) == 0

    def test_grey_invents_what_a_swap_does_not(self, pools):
        """A detector of grey eyes: 127.5 is nothing a face has."""
        weights = np.zeros((SIZE, SIZE, 3))
        weights[np.isin(parts_of().labels, (2, 3))] = 0.01
        found = effects(linear(weights), [subject_of(image_of(99))], pools, {"eyes": (2, 3)}, kinds=("opposite", "grey"))[0]
        assert found.delta[0, 0].tolist() == [0, 0, 0] and found.delta[0, 1, 0] > 20

    def test_donor_equal_to_the_image(self, weights):
        image = image_of(3)
        pools = {"real": [donor_of(0, image)], "fake": []}
        found = effects(linear(weights + 0.01), [subject_of(image)], pools, ROWS, donors=1, kinds=("opposite",))[0]
        assert found.delta.ravel().tolist() == [0] * 4

    def test_flips_are_of_the_decision(self, weights, pools):
        weights[0, 0, 0] = -0.6  # the nose gives 80, swapped 52.5
        image = image_of(99)
        image[0, 0, 0] = 100
        found = effects(linear(weights), [subject_of(image)], pools, ROWS, kinds=("opposite",))[0]
        assert found.flipped[2].all() and not found.flipped[[0, 1, 3]].any()
        assert not effects(linear(weights, threshold=0.0), [subject_of(image)], pools, ROWS, kinds=("opposite",))[0].flipped.any()

    def test_absent_region_and_no_donors(self, weights, pools):
        subject = subject_of(image_of(99))
        subject.face.parts.labels[subject.face.parts.labels == 5] = 1
        found = effects(linear(weights), [subject], {"real": pools["real"]}, ROWS)[0]
        assert np.isnan(found.delta[3]).all() and found.area[3] == 0
        assert np.isnan(found.delta[:, 1]).all() and (found.donor[:, 1] == -1).all()  # nobody of its own class
        assert np.isnan(found.delta[0, 2]).all()  # the skin can be put nowhere else

    def test_batch_size_and_order_change_nothing(self, weights, pools):
        weights = weights + np.random.default_rng(0).normal(size=weights.shape) * 1e-3
        subjects = [subject_of(image_of(20 + index), label, f"{index}") for index, label in enumerate(("fake", "real", "fake"))]
        runs = [effects(linear(weights), subjects, pools, ROWS, batch_size=size) for size in (1, 7, 64)]
        runs.append(effects(linear(weights), subjects[::-1], pools, ROWS)[::-1])
        for run in runs[1:]:
            for one, two in zip(runs[0], run, strict=True):
                assert np.array_equal(one.delta, two.delta, equal_nan=True) and np.array_equal(one.donor, two.donor)

    def test_other_rows_and_kinds_change_nothing(self, weights, pools):
        weights = weights + np.random.default_rng(0).normal(size=weights.shape) * 1e-3
        subject = subject_of(image_of(20))
        whole = effects(linear(weights), [subject], pools, ROWS, kinds=tuple(KINDS))[0]
        part = effects(linear(weights), [subject], pools, {"nose": (4,)}, kinds=("patch",))[0]
        assert np.array_equal(part.delta[0, 0], whole.delta[2, 2]) and np.isfinite(part.delta).all()

    def test_passes_are_full(self, weights, pools):
        detector = linear(weights)
        found = effects(detector, [subject_of(image_of(index), sha256=str(index)) for index in range(3)], pools, ROWS, batch_size=8)
        passes = 3 + int(sum(np.isfinite(effect.delta).sum() for effect in found))
        assert detector.calls == [8] * (passes // 8) + [passes % 8] * (passes % 8 > 0)

    def test_seeded(self, weights, pools):
        weights = weights + np.random.default_rng(0).normal(size=weights.shape)
        one, two = (effects(linear(weights), [subject_of(image_of(20))], pools, ROWS, seed=seed)[0] for seed in (0, 1))
        assert not np.array_equal(one.delta, two.delta, equal_nan=True)

    @pytest.mark.parametrize(
        "options, message", [({"kinds": ("swap",)}, "swaps of kind 'swap' are not known"), ({"donors": 0}, "0 donors; expected 1")]
    )
    def test_wrong_settings(self, weights, pools, options, message):
        with pytest.raises(WhyfakeError, match=message):
            effects(linear(weights), [], pools, ROWS, **options)

    def test_wrong_batch_size(self):
        with pytest.raises(WhyfakeError, match="a batch size of 0"):
            list(answers(lambda images: images[:, 0, 0, 0], (1, 1), [], 0))


class TestDonors:
    face = Face(image_of(50).astype(np.float32), parts_of())

    def test_the_half_that_fits_best_comes_first(self):
        pool = [donor_of(index, image_of(0)) for index in range(8)]
        for donor in pool[::2]:
            donor.anchors[3] += 4  # a mouth further down: no shift mends that
        found = rank(self.face, "x", pool, stream(0, "a"))
        assert {one.donor.index for one in found[:4]} == {1, 3, 5, 7} and len(found) == 8

    def test_a_face_further_right_fits_as_well(self):
        found = rank(self.face, "x", [donor_of(0, image_of(0), right=5)], stream(0, "a"))
        assert found[0].shift.tolist() == [0, -5]

    def test_fit_is_of_colour_too(self):
        pool = [donor_of(index, np.full((SIZE, SIZE, 3), 100 + 60 * (index % 2), np.uint8)) for index in range(8)]
        assert {one.donor.index for one in rank(self.face, "x", pool, stream(0, "a"))[:4]} == {0, 2, 4, 6}

    def test_never_the_image_itself(self):
        pool = [donor_of(index, image_of(index)) for index in range(3)]
        assert {one.donor.index for one in rank(self.face, "donor1", pool, stream(0, "a"))} == {0, 2}

    def test_only_those_who_have_the_part(self):
        pool = [donor_of(index, image_of(index)) for index in range(4)]
        for donor in pool[:3]:
            labels = np.where(donor.parts.labels == 5, np.uint8(1), donor.parts.labels)
            pool[donor.index] = Donor.of(donor.index, donor.sha256, donor.image, replace(donor.parts, labels=labels), Preprocessing(SIZE, SIZE))
        ranked = rank(self.face, "x", pool, stream(0, "a"), least=4)
        mask = parts_of().labels == 5
        assert [one.donor.index for one in choose(ranked, 3, [Piece.of(mask, (5,))])] == [3]
        assert len(choose(ranked, 3, [Piece.of(mask)])) == 3

    def test_each_eye_is_moved_by_itself(self):
        """A donor whose eyes stand further apart, by 4 and 6 pixels: each comes to where it belongs."""
        labels = parts_of().labels
        labels[np.isin(labels, (2, 3))] = 1
        labels[20:26, 10:20], labels[20:26, 40:50] = 2, 3
        donor = Donor.of(0, "d", image_of(0), Parts(labels, NAMES, np.ones(6, np.float32)), Preprocessing(SIZE, SIZE))
        pieces = cut(parts_of(), (2, 3))
        loan = choose(rank(self.face, "x", [donor], stream(0, "a")), 1, pieces)[0]
        assert [piece.members for piece in pieces] == [(2,), (3,)] and loan.shifts == ((0, 4), (0, -6))

    def test_without_two_anchors_none_fits(self):
        labels = np.ones((SIZE, SIZE), np.uint8)
        assert rank(replace(self.face, parts=replace(parts_of(), labels=labels)), "x", [donor_of(0, image_of(0))], stream(0, "a")) == []

    def test_sums_give_middles(self):
        area, rows, columns = sums(parts_of().labels)[4]
        assert (area, rows / area, columns / area) == (80, 34.5, 28.5)

    def test_tone_is_of_the_face_alone(self):
        image = np.where(parts_of().labels[..., None] == 0, 250, 40).repeat(3, -1).astype(np.float32)
        assert tone(Face(image, parts_of())).tolist() == [40] * 3
        assert tone(Face(image, replace(parts_of(), labels=np.zeros((SIZE, SIZE), np.uint8)))).tolist() == pytest.approx(image.mean((0, 1)).tolist())


@pytest.fixture
def folder(tmp_path):
    """Ten images, half of them fake (a red nose), one unreadable, one without parts."""
    items = []
    for index in range(20):
        label = "fake" if index % 2 else "real"
        image = image_of(index)
        image[parts_of().labels == 4, 0] = 150 if index % 2 else 80
        path = tmp_path / f"{label}_{index}.png"
        cv2.imwrite(str(path), image[..., ::-1])
        items.append(Item(index, path, path.name, label, hashlib.sha256(path.read_bytes()).hexdigest()))
    items[3].file.write_bytes(b"no image")
    return items


class Drawn:
    """The same parts for all but the sixth image; keeps whom it was asked about."""

    kind, names = "labels", NAMES

    def __init__(self):
        self.asked: list[str] = []

    def parts(self, path, view, box=None):
        self.asked.append(path)
        if path == "fake_5.png":
            raise ImageError("no face")
        return parts_of()

    def identity(self, path):
        return "drawn"

    def record(self):
        return {"kind": self.kind}


def same(one, two):
    arrays = ("index", "logit", "delta", "flipped", "donor", "area")
    return (
        all(np.array_equal(getattr(one, key), getattr(two, key), equal_nan=key in ("delta", "logit")) for key in arrays)
        and one.skipped == two.skipped
    )


class TestMeasure:
    def test_finds_the_nose(self, folder, weights, tmp_path):
        found = measure(linear(weights), folder, Drawn(), ROWS, tmp_path / "out")
        assert found.rows == tuple(ROWS) and found.delta.shape == (18, 4, 4, 3) and set(found.skipped) == {"fake_3.png", "fake_5.png"}
        assert found.skipped["fake_5.png"] == "no face"
        assert found.index.tolist() == [index for index in range(20) if index not in (3, 5)]
        fake = np.array(found.labels) == "fake"
        assert (found.mean[fake, 2, 0] < -30).all() and (found.mean[~fake, 2, 0] > 30).all()
        assert np.abs(found.mean[:, [0, 1, 3], 0]).max() == 0 and np.nanmax(np.abs(found.mean[:, :, 1])) < 1e-4
        assert found.flips[:, 2, 0].tolist() == [0] * 18 and found.passes == 18 + np.isfinite(found.delta).sum()
        own = found.donor == found.index[:, None, None, None]
        assert not own.any() and not np.isin(found.donor, (3, 5)).any()

    def test_goes_on_where_it_was_stopped(self, folder, weights, tmp_path):
        whole = measure(linear(weights), folder, Drawn(), ROWS, tmp_path / "whole")
        detector, out = linear(weights), tmp_path / "out"

        def stop(images):
            if sum(detector.calls) > whole.passes - 50:  # in the second shard of two
                raise KeyboardInterrupt
            return detector.logits(images)

        with pytest.raises(KeyboardInterrupt):
            measure(SimpleNamespace(**(vars(detector) | {"logits": stop})), folder, Drawn(), ROWS, out)
        shards = list((out / "shards").glob("effect-*.npz"))
        assert len(shards) == 1
        node = shards[0].stat().st_ino
        detector.calls.clear()
        again = measure(detector, folder, Drawn(), ROWS, out)
        assert same(whole, again) and shards[0].stat().st_ino == node
        assert sum(detector.calls) < whole.passes / 2

    def test_a_finished_run_asks_nothing(self, folder, weights, tmp_path):
        first = measure(linear(weights), folder, Drawn(), ROWS, tmp_path)
        detector, source = linear(weights), Drawn()
        assert same(first, measure(detector, folder, source, ROWS, tmp_path)) and detector.calls == [] and source.asked == []

    @pytest.mark.parametrize("damage", [lambda data: data[: len(data) // 2], lambda data: b"", lambda data: data[:200] + bytes(50) + data[250:]])
    def test_a_damaged_shard_is_redone(self, folder, weights, tmp_path, damage):
        first = measure(linear(weights), folder, Drawn(), ROWS, tmp_path)
        shard = sorted((tmp_path / "shards").iterdir())[0]
        shard.write_bytes(damage(shard.read_bytes()))
        detector = linear(weights)
        assert same(first, measure(detector, folder, Drawn(), ROWS, tmp_path)) and detector.calls

    def test_other_input_gives_other_shards(self, folder, weights, tmp_path):
        def count(detector, items=folder, rows=ROWS, **options):
            measure(detector, items, Drawn(), rows, tmp_path, **options)
            return len(list((tmp_path / "shards").iterdir()))

        options = {"donors": 1, "kinds": ("opposite",)}
        first = count(linear(weights), **options)
        detector = linear(weights)
        detector.sha256 = "another"
        assert count(detector, **options) == 2 * first
        assert count(linear(weights), **options, seed=1) == 3 * first
        assert count(linear(weights), rows={"nose": (4,)}, **options) == 4 * first
        assert count(linear(weights), items=[replace(folder[0], sha256="changed"), *folder[1:]], **options) == 6 * first - first
        assert count(linear(weights), pool=folder[:10], **options) == 6 * first

    def test_batch_size_changes_nothing(self, folder, weights, tmp_path):
        one, two = (measure(linear(weights), folder, Drawn(), ROWS, tmp_path / str(size), batch_size=size) for size in (3, 32))
        assert same(one, two)

    def test_images_of_no_class_are_left_out(self, folder, weights, tmp_path):
        found = measure(linear(weights), [replace(folder[0], label=""), *folder[1:]], Drawn(), ROWS, tmp_path, donors=1, kinds=("opposite",))
        assert found.skipped["real_0.png"] == "of no known class" and 0 not in found.index

    def test_nothing_left(self, folder, weights, tmp_path):
        found = measure(linear(weights), [folder[5]], Drawn(), ROWS, tmp_path, pool=folder, donors=1, kinds=("opposite",))
        assert found.mean.shape == (0, 4, 1) and found.skipped == {"fake_5.png": "no face"}

    def test_both_classes_are_needed(self, folder, weights, tmp_path):
        with pytest.raises(DataError, match="no fake images to swap regions with"):
            measure(linear(weights), folder[::2], Drawn(), ROWS, tmp_path)
        with pytest.raises(DataError, match="no regions to swap"):
            measure(linear(weights), folder, Drawn(), {}, tmp_path)


def test_pool_is_bounded_and_seeded(folder, weights):
    detector = linear(weights)
    pools = gather(detector, folder, Drawn(), seed=0, budget=2 * 3 * 4 * SIZE**2)
    assert {label: len(pool) for label, pool in pools.items()} == {"real": 3, "fake": 3}
    again = gather(detector, folder[::-1], Drawn(), seed=0, budget=2 * 3 * 4 * SIZE**2)
    assert [donor.sha256 for donor in pools["real"]] == [donor.sha256 for donor in again["real"]]
    assert workflow.SHARD == 16
