"""Faces laid over one another, and one part painted from one into the other."""

from __future__ import annotations

import numpy as np
import pytest

from xai.maps.fills import blurred
from xai.probes.place import elsewhere
from xai.probes.shift import cover, members_mask, rounded, spread, step, taken, usable
from xai.probes.swap import Face, content, paint, region, relit
from xai.regions.align import align, anchors
from xai.regions.parts import Parts

NAMES = ("background", "skin", "left_eye", "right_eye", "nose", "mouth", "hair")
SAME = np.array([[1.0, 0, 0], [0, 1, 0]])


def moved(points, matrix):
    """Where a matrix takes points (y, x)."""
    return np.asarray(points) @ matrix[:, :2].T + matrix[:, 2]


def swapped(target, donor, shift, members, low, high):
    """A face with one region from another face; itself where one of them has no such region."""
    image, place = target.image.copy(), region(members_mask(target.parts.labels, members))
    if place is not None and cover(donor.parts, shift, members, place):
        paint(image, content(target, donor, shift, place, members, low, high), place)
    return image


def drawn(size: int = 64, down: int = 0, right: int = 0) -> Parts:
    """A face of rectangles, hair above it."""
    labels = np.zeros((size, size), np.uint8)
    unit = size // 16
    boxes = {6: (1, 15, 3, 13), 1: (4, 14, 4, 12), 2: (6, 7, 5, 7), 3: (6, 7, 9, 11), 4: (7, 10, 7, 9), 5: (11, 12, 6, 10)}
    for value, box in boxes.items():
        top, bottom, left, end = (unit * edge for edge in box)
        labels[top + down : bottom + down, left + right : end + right] = value
    return Parts(labels, NAMES, np.ones(len(NAMES), np.float32))


def noise(seed: int, size: int = 64) -> np.ndarray:
    return np.random.default_rng(seed).uniform(60, 200, (size, size, 3)).astype(np.float32)


def members(*names: str) -> tuple[int, ...]:
    return tuple(NAMES.index(name) for name in names)


class TestAlign:
    def test_anchors_are_middles_of_parts(self):
        found = anchors(drawn(16))
        assert found.tolist() == [[6.5, 6.0], [6.5, 10.0], [8.5, 8.0], [11.5, 8.0]]

    def test_missing_part_is_nan(self):
        parts = drawn(16)
        parts.labels[parts.labels == 4] = 1
        assert np.isnan(anchors(parts)).tolist() == [[False] * 2, [False] * 2, [True] * 2, [False] * 2]

    def test_all_parts_of_a_mouth_are_one_anchor(self):
        names = ("upper_lip", "mouth_inside", "teeth", "lower_lip")
        parts = Parts(np.uint8([[0], [1], [2], [3]]), names, np.ones(4, np.float32))
        assert anchors(parts)[3].tolist() == [2.0, 0.5]

    def test_recovers_an_affine_map_from_four_points(self):
        points = np.array([[20.0, 20], [20, 44], [32, 32], [44, 32]])
        truth = np.array([[0.9, 0.2, 5], [-0.1, 1.2, -3]])
        assert np.allclose(align(points, moved(points, truth)), truth)

    @pytest.mark.parametrize("count", [2, 3])
    def test_recovers_a_similarity_from_fewer(self, count):
        points = np.array([[20.0, 20], [20, 44], [32, 31]])
        points[count:] = np.nan
        truth = 1.3 * np.array([[np.cos(0.3), -np.sin(0.3), 4], [np.sin(0.3), np.cos(0.3), -2]])
        assert np.allclose(align(points, moved(points, truth)), truth)

    def test_similarity_neither_shears_nor_mirrors(self):
        points = np.random.default_rng(0).uniform(0, 64, (4, 2))
        linear = align(points, points[:, ::-1], affine=False)[:, :2]
        assert linear[0, 0] == pytest.approx(linear[1, 1]) and linear[0, 1] == pytest.approx(-linear[1, 0])

    def test_points_on_a_line_give_a_similarity(self):
        points = np.array([[1.0, 5], [2, 10], [3, 15], [4, 20]])
        truth = 2 * np.array([[np.cos(1), -np.sin(1), 1], [np.sin(1), np.cos(1), 1]])
        assert np.allclose(align(points, moved(points, truth)), truth)

    def test_too_few_points(self):
        points = np.full((4, 2), np.nan)
        assert align(points, points) is None
        points[0] = 1
        assert align(points, points) is None
        points[1] = 1
        assert align(points, points) is None  # two points at one place say nothing about scale

    def test_anchors_follow_the_parts(self):
        here, there = anchors(drawn()), anchors(drawn(down=3, right=2))
        assert np.nanmax(np.abs(there - here - [3, 2])) < 1e-9


class TestRegion:
    def test_fades_inward_only(self):
        mask = drawn(256).labels == 4
        found = region(mask)
        whole = np.zeros(mask.shape, np.float32)
        whole[found.window] = found.alpha
        assert (whole[~mask] == 0).all() and (whole[mask] > 0).all() and whole.max() == 1
        # 48 x 32 pixels, fading over 256 / 128 = 2: depths 0.5, 1.5, then all
        assert found.alpha[24, :4].tolist() == [0.25, 0.75, 1.0, 1.0]

    def test_half_of_a_thin_region_is_replaced_in_full(self):
        mask = np.zeros((1024, 1024), bool)
        mask[500:506, 100:900] = True  # 8 pixels of fade would leave nothing of 6
        assert region(mask).alpha[:, 400].tolist() == pytest.approx([0.4, 1, 1, 1, 1, 0.4])

    def test_one_pixel_is_replaced(self):
        mask = np.zeros((8, 8), bool)
        mask[3, 3] = True
        assert region(mask).alpha.tolist() == [[1.0]]

    def test_no_fade_at_the_edge_of_the_picture(self):
        mask = np.zeros((256, 256), bool)
        mask[:10] = True
        assert region(mask).alpha[:, 5].tolist() == [1.0] * 8 + [0.75, 0.25]

    def test_empty(self):
        assert region(np.zeros((4, 4), bool)) is None

    def test_paint_leaves_everything_else_bit_for_bit(self):
        image, mask = noise(0), drawn().labels == 1
        out, place = image.copy(), region(mask)
        paint(out, noise(1)[place.window], place)
        assert np.array_equal(out[~mask].view(np.uint32), image[~mask].view(np.uint32))
        assert np.array_equal(out[place.window][place.alpha == 1], noise(1)[place.window][place.alpha == 1])

    def test_blur_through_the_same_painter(self):
        image, place = noise(0), region(drawn().labels == 4)
        out = image.copy()
        paint(out, blurred(image)[place.window], place)
        assert out[32, 32].tolist() == pytest.approx(blurred(image)[32, 32].tolist())


class TestSwap:
    def test_the_same_face_changes_nothing(self):
        face = Face(noise(0), drawn())
        for name in NAMES:
            assert np.array_equal(swapped(face, face, (0, 0), members(name), 0, 255), face.image), name

    @pytest.mark.parametrize("name", NAMES)
    def test_outside_the_region_no_bit_changes(self, name):
        target, donor = Face(noise(0), drawn()), Face(noise(1), drawn(down=1, right=2))
        out = swapped(target, donor, (-1, -2), members(name), 0, 255)
        outside = target.parts.labels != NAMES.index(name)
        assert np.array_equal(out[outside].view(np.uint32), target.image[outside].view(np.uint32))
        assert not np.array_equal(out, target.image) and out.min() >= 0 and out.max() <= 255

    def test_a_shifted_donor_is_shifted_back(self):
        """The nose of a donor 1 pixel further down and 2 to the right, no light to match: its own pixels, exactly."""
        parts, shifted = drawn(), drawn(down=1, right=2)
        target, donor = Face(np.full((64, 64, 3), 100, np.float32), parts), Face(np.full((64, 64, 3), 100, np.float32), shifted)
        donor.image[shifted.labels == 4] = noise(5)[shifted.labels == 4]
        out = swapped(target, donor, (-1, -2), members("nose"), 0, 255)
        place = region(parts.labels == 4)
        core = np.zeros((64, 64), bool)
        core[place.window] = place.alpha == 1
        assert np.array_equal(out[core], donor.image[1:, 2:][core[:-1, :-2]])

    def test_light_is_matched_on_the_skin_beside(self):
        """All of the donor is 1.2 times as bright: its nose is darkened by that."""
        parts = drawn()
        target, donor = (Face(np.full((64, 64, 3), value, np.float32), parts) for value in (100, 120))
        donor.image[parts.labels == 4] = 60
        dark = 0.02 * 255
        gain = (100 + dark) / (120 + dark)
        assert swapped(target, donor, (0, 0), members("nose"), 0, 255)[32, 32].tolist() == pytest.approx([60 * gain + 100 - 120 * gain] * 3, abs=1e-3)

    def test_own_colours_where_there_is_no_skin_beside(self):
        """A background keeps the target's mean colour and takes the donor's pattern."""
        parts = drawn()
        target, donor = Face(np.full((64, 64, 3), 100, np.float32), parts), Face(np.full((64, 64, 3), 100, np.float32), parts)
        donor.image[::2] = 110
        back = parts.labels == 0
        out = swapped(target, donor, (0, 0), members("background"), 0, 255)
        assert out[back].mean() == pytest.approx(100, abs=0.2) and out[back].std() == pytest.approx(4.8, abs=0.3)

    def test_nothing_but_the_donor_s_own_part_comes_over(self):
        """The donor's skin is 50, everything else of it 250, and its nose lies elsewhere: no 250 gets in."""
        parts, other = drawn(), drawn()
        other.labels[other.labels == 4] = 1
        other.labels[40:44, 40:44] = 4
        donor = Face(np.where(other.labels == 1, 50, 250)[..., None].repeat(3, -1).astype(np.float32), other)
        target = Face(np.full((64, 64, 3), 50, np.float32), parts)
        assert np.array_equal(swapped(target, donor, (3, -2), members("skin"), 0, 255), target.image)

    def test_a_donor_without_the_part_changes_nothing(self):
        target, donor = Face(noise(0), drawn()), Face(noise(1), drawn())
        donor.parts.labels[donor.parts.labels == 4] = 1
        assert np.array_equal(swapped(target, donor, (0, 0), members("nose"), 0, 255), target.image)

    def test_cover(self):
        parts, place = drawn(), region(drawn().labels == 4)  # 12 x 8 pixels
        assert cover(parts, (0, 0), members("nose"), place) == 1
        assert cover(parts, (3, 0), members("nose"), place) == 0.75
        assert cover(parts, (40, 0), members("nose"), place) == 0 == cover(parts, (0, 0), members("mouth"), place)
        assert cover(parts, (4, 0), None, place) == 1 and cover(parts, (34, 0), None, place) == 0.5  # of the picture, 6 rows are left

    def test_usable_counts_in_the_window(self):
        window = slice(20, 40), slice(10, 50)
        assert np.array_equal(usable(drawn(), (0, 0), members("nose"), window), (drawn().labels == 4)[window])
        assert np.array_equal(usable(drawn(), (-1, 2), members("nose"), window), (drawn().labels == 4)[21:41, 8:48])
        assert not usable(drawn(), (100, 0), None, window).any()

    def test_taken_ends_with_the_donor_s_picture(self):
        labels = drawn().labels
        found = taken(labels, (10, 0), (slice(0, 64), slice(0, 64)), 255)
        assert (found[:10] == 255).all() and np.array_equal(found[10:], labels[:-10])

    @pytest.mark.parametrize("low, high", [(0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)])
    def test_any_linear_range(self, low, high):
        def face(seed, parts):
            return Face((noise(seed) / 255 * (high - low) + low).astype(np.float32), parts)

        found = swapped(face(0, drawn()), face(1, drawn(down=1)), (-1, 0), members("nose"), low, high)
        plain = swapped(Face(noise(0), drawn()), Face(noise(1), drawn(down=1)), (-1, 0), members("nose"), 0, 255)
        assert np.allclose((found - low) / (high - low) * 255, plain, atol=0.01)

    def test_mirrored_faces_give_a_mirrored_swap(self):
        turn = [NAMES.index({"left_eye": "right_eye", "right_eye": "left_eye"}.get(name, name)) for name in NAMES]

        def mirrored(face):
            labels = np.ascontiguousarray(np.uint8(turn)[face.parts.labels][:, ::-1])
            return Face(np.ascontiguousarray(face.image[:, ::-1]), Parts(labels, NAMES, face.parts.confidence))

        target, donor = Face(noise(0), drawn()), Face(noise(1), drawn(right=2))
        here = swapped(target, donor, (0, -2), members("left_eye"), 0, 255)
        there = swapped(mirrored(target), mirrored(donor), (0, 2), members("right_eye"), 0, 255)
        assert np.allclose(here, there[:, ::-1], atol=1e-3)

    def test_a_region_that_fills_the_picture_has_nothing_beside_it(self):
        parts = Parts(np.ones((32, 32), np.uint8), NAMES, np.ones(7, np.float32))
        target, donor = Face(noise(0, 32), parts), Face(noise(1, 32), parts)
        found = content(target, donor, (0, 0), region(parts.labels == 1), members("skin"), 0, 255)
        assert found.mean() == pytest.approx(target.image.mean(), abs=0.01)


def test_relit_is_bounded():
    found = relit(np.full((1, 1, 3), 100, np.float32), np.full(3, 50.0), np.full(3, 200.0), 0, 255)
    assert found[0, 0].tolist() == [100 * 1.25 + 0.05 * 255] * 3
    assert relit(np.full((1, 1, 3), 250, np.float32), np.full(3, 50.0), np.full(3, 200.0), 0, 255).max() == 255


def test_grid_of_shifts():
    assert [step((side, side)) for side in (32, 64, 128, 224, 256, 1024)] == [1, 1, 2, 4, 4, 16]
    assert rounded(np.array([5.9, -6.1]), 4) == (4, -8)


class TestSpread:
    row = np.repeat(np.arange(12, dtype=np.float32)[None, :, None], 3, -1)

    def spread(self, first, last, grid):
        known = np.zeros((1, 12), bool)
        known[0, first:last] = True
        return spread(self.row, known, np.ones((1, 12), bool), grid)[0, :, 0].tolist()

    def test_goes_on_from_further_inside_again_and_again(self):
        assert self.spread(0, 3, 1)[:5] == [0, 1, 2, 1, 0] and set(self.spread(0, 3, 1)) <= {0.0, 1.0, 2.0}

    def test_a_regular_pattern_goes_on(self):
        """All of 0, 1, 2, 3 are known; on a grid of 4 they repeat."""
        assert [value % 4 for value in self.spread(4, 8, 4)] == [0, 1, 2, 3] * 3

    def test_nothing_known(self):
        assert self.spread(0, 0, 1) == list(range(12))


class TestElsewhere:
    def test_stays_in_the_domain_and_leaves_its_place(self):
        parts = drawn(128)
        mask, face = parts.labels == 4, parts.face()
        places = elsewhere(mask, face, 5, np.random.default_rng(0))
        assert len(places) == 5
        for place in places:
            assert not (place & ~face).any() and place.sum() >= 0.95 * mask.sum() and (place & mask).sum() <= 0.25 * mask.sum()

    def test_same_seed_same_places(self):
        parts = drawn(100)  # no multiple of the grid
        one, two = (elsewhere(parts.labels == 4, parts.face(), 3, np.random.default_rng(4)) for _ in range(2))
        assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))

    def test_no_room(self):
        parts = drawn()
        assert elsewhere(parts.labels == 1, parts.face(), 3, np.random.default_rng(0)) == []
