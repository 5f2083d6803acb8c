"""Paint a person as a soft-shaded portrait, together with the label of every pixel.

A :class:`Person` is a plain record of shapes and colours; :func:`render` turns it into pixels.
Every part is a polygon that is filled at the same time in the picture and in the label image,
on a canvas larger than the result, so the labels are the drawing and not a guess about it.

Shapes live in head coordinates: the side of the image is 1, the origin is the middle of the face,
x grows to the viewer's right and y grows downwards.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]  # (n, 2), x and y
Image = npt.NDArray[Any]  # (H, W, 3) or (H, W)
Colour = tuple[float, float, float]  # RGB in [0, 255]

REGIONS: tuple[str, ...] = (
    "background", "skin", "hair", "left_eye", "right_eye", "left_brow", "right_brow", "nose",
    "mouth", "teeth", "left_ear", "right_ear", "earrings", "glasses", "neck", "clothing",
)  # fmt: skip
SIDES = ((-1, "left"), (1, "right"))
EYE, BROW, NOSE, MOUTH, OUTLINE, BEHIND = 0.10, 0.10, 0.16, 0.11, 0.03, -0.01  # depths


@dataclass(frozen=True, slots=True)
class Person:
    """Describe one portrait: pose, light, shapes (image side = 1), colours (RGB, 0 to 255)."""

    seed: int
    shift: tuple[float, float]
    scale: float
    roll: float  # radians
    yaw: float  # positive: the face turns to the viewer's right
    light: tuple[float, float]  # where the light comes from, x and y
    blur: float  # standard deviation of the lens blur, in 512ths of the image side
    face: tuple[float, float, float]  # half width, taper of the jaw, y of the chin
    eye: tuple[float, float, float, float]  # x, half width, half height, tilt
    brow: tuple[float, float, float]  # height above the eye, arch, thickness
    nose: tuple[float, float]  # half width, y of the tip
    mouth: tuple[float, float, float, float]  # half width, smile, opening, fullness
    stubble: float
    style: str
    volume: float  # how far the hair stands off the skull
    hairline: tuple[float, float, float]  # y at the middle, parting, roundness
    length: float  # y where the hair at the back ends
    tucked: bool  # the ears can be seen
    earring: str  # "", "stud", "drop" or "hoop"
    glasses: str  # "", "round", "square" or "oval"
    collar: str
    pattern: int
    backdrop: int
    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    cloth: Colour
    metal: Colour
    frame: Colour
    walls: tuple[Colour, Colour]
    # What an artefact alters; the values of a real portrait are these.
    highlights: tuple[float, float] = (0.0, 0.0)  # displacement left and right, in iris radii
    merged: float = 0.0  # 1: no gaps between the teeth
    gap: float = 0.0  # 1: an arc of the spectacle rim is missing
    melt: float = 0.0  # 1: the earrings have run into what is behind them


def mix(a: Sequence[float], b: Sequence[float], share: float) -> Colour:
    """Return the colour that lies `share` of the way from `a` to `b`."""
    red, green, blue = (p + (q - p) * share for p, q in zip(a, b, strict=True))
    return red, green, blue


def scaled(colour: Sequence[float], factor: float) -> Colour:
    """Return the colour made lighter or darker by a factor."""
    red, green, blue = (min(255.0, c * factor) for c in colour)
    return red, green, blue


def points(x: npt.ArrayLike, y: npt.ArrayLike) -> Points:
    """Join two coordinate lists into (n, 2)."""
    return np.stack(np.broadcast_arrays(np.asarray(x, float), np.asarray(y, float)), axis=-1)


def ellipse(x: float, y: float, rx: float, ry: float, n: int = 40) -> Points:
    """Return the outline of an ellipse."""
    t = np.linspace(0, 2 * np.pi, n, endpoint=False)
    return points(x + rx * np.cos(t), y + ry * np.sin(t))


def ribbon(line: Points, width: npt.ArrayLike) -> Points:
    """Return the outline of a stroke along `line`; `width` may change along it."""
    along = np.gradient(line, axis=0)
    across = np.stack([-along[:, 1], along[:, 0]], axis=-1)
    across /= np.maximum(np.linalg.norm(across, axis=1, keepdims=True), 1e-9)
    offset = across * (np.broadcast_to(np.asarray(width, float), len(line))[:, None] / 2)
    return np.concatenate([line + offset, (line - offset)[::-1]])


def smooth(corners: Sequence[tuple[float, float]], steps: int = 8) -> Points:
    """Return a closed Catmull-Rom curve through the corners."""
    p = np.asarray(corners, float)
    a, b, c, d = (np.roll(p, k, axis=0)[:, None] for k in (1, 0, -1, -2))
    t = (np.arange(steps) / steps)[None, :, None]
    curve = 2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2
    return ((curve + (3 * b - a - 3 * c + d) * t**3) / 2).reshape(-1, 2)


class Canvas:
    """Hold the oversized picture and its labels while the parts are filled in, back to front."""

    def __init__(self, person: Person, size: int) -> None:
        # Small pictures need more samples a pixel for thin parts to keep their area.
        self.factor = 4 if size <= 160 else 2
        self.person = person
        self.side = size * self.factor
        self.image: Image = np.empty((self.side, self.side, 3), np.uint8)
        self.labels: Image = np.zeros((self.side, self.side), np.uint8)

    def place(self, shape: Points, depth: float | None) -> Points:
        """Turn head coordinates into image coordinates; `depth` None is the body, unturned."""
        p = self.person
        if depth is None:
            return shape * p.scale + 0.5 + np.asarray(p.shift) * 0.8
        x = turned(shape[:, 0], p.yaw, depth)
        y = shape[:, 1]
        cos, sin = np.cos(p.roll) * p.scale, np.sin(p.roll) * p.scale
        return points(x * cos - y * sin, x * sin + y * cos) + 0.5 + np.asarray(p.shift)

    def fill(
        self,
        shape: Points,
        paint: Colour | Image | None,
        region: str = "",
        depth: float | None = EYE,
        inside: Sequence[str] = (),
    ) -> None:
        """Fill a polygon with a colour or a coarse picture, and label it.

        Args:
            shape: outline, (n, 2), head coordinates.
            paint: a colour; a coarse uint8 picture (T, T, 3) of the whole canvas; None to label only.
            region: the label; empty leaves the labels alone.
            depth: how far in front of the turning axis; None for the body.
            inside: only pixels that carry one of these labels are touched.
        """
        pixels = self.place(shape, depth) * self.side - 0.5
        if isinstance(paint, tuple) and not inside:
            fixed = [np.rint(pixels * 16).astype(np.int32)]
            cv2.fillPoly(self.image, fixed, tuple(round(c) for c in paint), shift=4)
            if region:
                cv2.fillPoly(self.labels, fixed, REGIONS.index(region), shift=4)
            return
        low = np.maximum(np.floor(pixels.min(axis=0)).astype(int) - 1, 0)
        high = np.minimum(np.ceil(pixels.max(axis=0)).astype(int) + 2, self.side)
        if (high <= low).any():
            return
        box = np.s_[low[1] : high[1], low[0] : high[0]]
        labels, image = self.labels[box], self.image[box]
        mask: Image = np.zeros(labels.shape, np.uint8)
        cv2.fillPoly(mask, [np.rint((pixels - low) * 16).astype(np.int32)], 255, shift=4)
        if inside:
            table: Image = np.zeros(256, np.uint8)
            table[[REGIONS.index(name) for name in inside]] = 255
            mask &= cv2.LUT(labels, table)
        if isinstance(paint, tuple):
            rgb = tuple(round(c) for c in paint)
            cv2.copyTo(np.full(image.shape, rgb, np.uint8), mask, image)
        elif paint is not None:
            ratio = len(paint) / self.side
            matrix = np.array([[ratio, 0, 0], [0, ratio, 0]])
            matrix[:, 2] = (low + 0.5) * ratio - 0.5
            flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
            shape_out = (image.shape[1], image.shape[0])
            tone = cv2.warpAffine(paint, matrix, shape_out, flags=flags, borderMode=cv2.BORDER_REPLICATE)
            cv2.copyTo(tone, mask, image)
        if region:
            cv2.copyTo(np.full_like(labels, REGIONS.index(region)), mask, labels)

    def stroke(self, line: Points, width: npt.ArrayLike, paint: Colour, **where: Any) -> None:
        """Fill a line of the given width."""
        # OpenCV also fills the pixels that the outline itself passes through: take that off again.
        thin = np.maximum(np.asarray(width) - 0.7 / self.side, 0.3 / self.side)
        self.fill(ribbon(line, thin), paint, **where)

    def result(self) -> tuple[Image, Image]:
        """Return the picture through the lens and its labels, both at the final size."""
        size = self.side // self.factor
        image = cv2.resize(self.image, (size, size), interpolation=cv2.INTER_AREA)
        sigma = 0.2 + self.person.blur * size / 512
        labels = self.labels[self.factor // 2 :: self.factor, self.factor // 2 :: self.factor]
        return cv2.GaussianBlur(image, (0, 0), sigma), np.ascontiguousarray(labels)


def turned(x: Any, yaw: float, depth: float) -> Any:
    """Return x after the head turned: the nearer a point, the further it moves."""
    return x + yaw * depth * (1 - (x / 0.5) ** 2)


class Tones:
    """Hold the coarse pictures that shade the parts: light, shadow and hair strands."""

    def __init__(self, person: Person, size: int) -> None:
        self.person = person
        self.coarse = min(112, 32 + size // 8)
        self.rng = np.random.default_rng([person.seed, 3])

    def grid(self, side: int) -> tuple[Any, Any]:
        """Return the head coordinates of the cells of a side x side picture."""
        p = self.person
        axis = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
        x, y = axis[None, :] - p.shift[0], axis[:, None] - p.shift[1]
        cos, sin = np.cos(p.roll) / p.scale, np.sin(p.roll) / p.scale
        return x * cos + y * sin, y * cos - x * sin

    @staticmethod
    def paint(base: Colour, shade: Any) -> Image:
        """Multiply a colour by a shade; shadows keep more red than blue, as skin and hair do."""
        levels = (np.arange(1024)[:, None] / 512) ** np.array([0.85, 1.05, 1.15])
        table = np.clip(np.asarray(base) * levels, 0, 255).astype(np.uint8)
        return table[np.clip(shade * 512, 0, 1023).astype(np.int16)]

    def skin(self) -> Image:
        """Return the face: a lit ball, with eye sockets, cheeks, nose and chin shaded softly."""
        p = self.person
        x, y = self.grid(self.coarse)

        def spot(px: float, py: float, rx: float, ry: float, depth: float = EYE) -> Any:
            px = turned(px, p.yaw, depth)
            return np.exp(-(((x - px) / rx) ** 2)) * np.exp(-(((y - py) / ry) ** 2))

        nx, ny = (x - p.yaw * 0.03) / 0.36, y / 0.46
        nz = np.sqrt(np.clip(1 - nx**2 - ny**2, 0, 1))
        shade = 0.72 + 0.27 * (nx * p.light[0] + ny * p.light[1]) + 0.26 * nz
        side = -np.sign(p.light[0]) or 1.0
        tip = p.nose[1]
        for sign, _ in SIDES:
            shade = shade - 0.13 * spot(sign * (p.eye[0] - 0.02), -0.075, 0.07, 0.035)
            shade = shade - 0.06 * spot(sign * p.eye[0], 0.0, 0.06, 0.02)
            shade = shade + 0.05 * spot(sign * 0.15, 0.06, 0.06, 0.04)
        shade = shade - 0.14 * spot(side * 0.035, 0.02, 0.018, 0.075, NOSE)
        shade = shade - 0.10 * spot(side * 0.05, tip, 0.02, 0.025, NOSE)
        shade = shade - 0.15 * spot(0, tip + 0.028, 0.06, 0.014, NOSE)
        shade = shade + 0.10 * spot(-side * 0.006, 0.0, 0.012, 0.07, NOSE)
        shade = shade + 0.13 * spot(-side * 0.008, tip - 0.014, 0.02, 0.018, NOSE)
        shade = shade - 0.12 * spot(0, 0.255 + p.mouth[2], 0.06, 0.012)
        shade = shade + 0.04 * spot(0, 0.31, 0.05, 0.03) - 0.10 * spot(0, -0.29, 0.3, 0.06)
        if p.stubble:
            jaw = 1 / (1 + np.exp(-((np.hypot(x * 1.15, y + 0.05)) - 0.235) / 0.02)) * (y > -0.05)
            jaw = jaw * np.clip((y + 0.05) / 0.15, 0, 1) + spot(0, tip + 0.055, 0.09, 0.015)
            shade = shade - p.stubble * np.minimum(jaw, 1) * (0.8 + 0.2 * self.noise(self.coarse, 112))
        tone = self.paint(p.skin, shade).astype(np.float32)
        blush = sum(spot(sign * 0.165, 0.085, 0.06, 0.045) for sign, _ in SIDES)
        blush = blush + 0.7 * spot(0, tip, 0.03, 0.03, NOSE)
        tone *= 1 - blush[..., None] * np.array([0.0, 0.11, 0.09], np.float32)
        return tone.astype(np.uint8)

    def noise(self, side: int, grain: int) -> Any:
        """Return smooth noise around 0 with `grain` blobs along the side."""
        coarse = self.rng.standard_normal((grain, grain), dtype=np.float32)
        return cv2.resize(coarse, (side, side), interpolation=cv2.INTER_CUBIC)

    def strands(self) -> Image:
        """Return the hair: strands that fall from the parting in parabolas, and a band of gloss."""
        p = self.person
        side = 2 * self.coarse
        x, y = self.grid(side)
        top = -0.39 - p.volume
        drop = np.maximum(y - top, 0) + 0.004
        if p.style in ("curly", "afro"):
            texture = self.noise(side, 56) * 0.5 + self.noise(side, 28) * 0.6
        else:
            flow = np.arcsinh((x - p.hairline[1] * 0.25) / np.sqrt(drop) * 4) / 4
            flow = flow + 0.012 * self.noise(side, 7)
            fine, broad = self.rng.standard_normal((2, 512), dtype=np.float32)
            texture = 0.45 * np.interp(flow * 70 + 256, np.arange(512), fine)
            texture = texture + 0.75 * np.interp(flow * 22 + 256, np.arange(512), broad)
        ring = np.hypot((x - p.light[0] * 0.1) / 0.3, (y + 0.02) / 0.36)
        gloss = np.exp(-(((ring - 0.93) / 0.09) ** 2)) * (y < 0)
        shade = 0.86 + 0.22 * (x * p.light[0] + y * p.light[1]) / 0.4 + 0.25 * gloss
        shade = shade - 0.22 * np.clip((y - 0.1) / 0.3, 0, 1)
        return self.paint(p.hair, shade * (1 + 0.15 * np.clip(texture, -2, 2)))

    def wall(self) -> Image:
        """Return the background: a gradient, out-of-focus lights, or a mottled studio cloth."""
        p = self.person
        x, y = np.meshgrid(*[np.linspace(0, 1, 64, dtype=np.float32)] * 2)
        angle = self.rng.uniform(0, 2 * np.pi)
        share = 0.5 + 0.5 * ((x - 0.5) * np.cos(angle) + (y - 0.5) * np.sin(angle)) / 0.7
        if p.backdrop == 1:
            share = share + 0.25 * self.noise(64, 5)
        if p.backdrop == 2:
            share = (np.floor(share * 4 + 0.15 * self.noise(64, 4)) + 0.5) / 4
        a, b = (np.asarray(colour, np.float32) for colour in p.walls)
        tone = a + (b - a) * np.clip(share, 0, 1)[..., None]
        if p.backdrop == 3:
            for _ in range(9):
                cx, cy, r, gain = self.rng.uniform([0, 0, 0.04, 10], [1, 1, 0.13, 45])
                disc = 1 / (1 + np.exp((np.hypot(x - cx, y - cy) - r) / 0.012))
                tone = tone + disc[..., None] * gain
        return np.clip(cv2.GaussianBlur(tone, (0, 0), 1.5), 0, 255).astype(np.uint8)

    def cloth(self) -> Image:
        """Return the clothing: folds, or stripes."""
        p = self.person
        x, y = self.grid(self.coarse)
        shade = 0.9 + 0.35 * x * p.light[0] + 0.08 * self.noise(self.coarse, 9) - 0.3 * np.clip(0.5 - y, 0, 0.2)
        if p.pattern:
            along = y if p.pattern == 1 else x
            shade = shade - 0.22 * (np.sin(along * 2 * np.pi / 0.055) > 0.2)
        return self.paint(p.cloth, shade)


def render(person: Person, size: int) -> tuple[Image, Image]:
    """Paint a person as the lens sees it: sharp edges already blurred, no camera noise yet.

    Args:
        person: who is painted.
        size: side of the result, pixels.

    Returns:
        The picture, uint8 RGB (size, size, 3), and the labels, uint8 (size, size).
    """
    canvas, tones = Canvas(person, size), Tones(person, size)
    wall = tones.wall()
    whole = (canvas.side, canvas.side)
    cv2.resize(wall, whole, dst=canvas.image, interpolation=cv2.INTER_LINEAR)
    skin, hair = tones.skin(), tones.strands()
    _back_hair(canvas, hair)
    _body(canvas, tones, skin)
    _head(canvas, skin)
    for sign, side in SIDES:
        _eye(canvas, skin, sign, side)
    _nose(canvas)
    _mouth(canvas)
    _front_hair(canvas, hair)
    for sign, side in SIDES:  # over the hair: a fringe must not hide them altogether
        _brow(canvas, sign, side)
    _earrings(canvas)
    _glasses(canvas)
    return canvas.result()


def _skull(p: Person) -> Points:
    half, taper, chin = p.face
    t = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    cos, sin = np.cos(t), np.sin(t)
    down = np.clip(sin, 0, 1)
    x = half * np.sign(cos) * np.abs(cos) ** (0.92 - 0.12 * down) * (1 - taper * down**2)
    return points(x, np.where(sin > 0, chin * sin, 0.38 * sin))


def _back_hair(canvas: Canvas, hair: Image) -> None:
    p = canvas.person
    half, volume = p.face[0], p.volume
    dark = cv2.convertScaleAbs(hair, alpha=0.72)
    if p.style == "bun":
        canvas.fill(ellipse(p.hairline[1] * 0.1, -0.43 - volume, 0.1, 0.085), hair, "hair", BEHIND)
    if p.style == "afro":
        t = np.linspace(0, 2 * np.pi, 120, endpoint=False)
        r = 1 + 0.018 * np.sin(23 * t) + 0.012 * np.sin(37 * t + 1)
        rx, ry = half + volume + 0.03, 0.33 + volume
        canvas.fill(points(rx * r * np.cos(t), -0.1 + ry * r * np.sin(t)), hair, "hair", BEHIND)
    elif p.length > 0:
        t = np.linspace(0, np.pi, 30)
        wide = half + volume + 0.012
        arc = points(wide * np.cos(t), -0.05 - (0.33 + volume) * np.sin(t))
        y = np.linspace(-0.05, p.length, 30)
        fall = (y + 0.05) / (p.length + 0.05)
        wave = 0.012 * np.sin(fall * 9 + p.volume * 300) * (1.8 if p.style == "curly" else 0.8)
        flare = wide + 0.035 * np.sin(fall * 2.6) * min(p.length / 0.3, 1) + wave
        outline = [points(-flare, y), points(np.linspace(-0.2, 0.2, 8), p.length + 0.025)]
        canvas.fill(np.concatenate([arc, *outline, points(flare, y)[::-1]]), dark, "hair", BEHIND)


def _body(canvas: Canvas, tones: Tones, skin: Image) -> None:
    p = canvas.person
    wide = p.face[0] * 0.56
    neck = cv2.convertScaleAbs(skin, alpha=0.80)
    sides = smooth([(-wide, 0.1), (wide, 0.1), (wide * 1.02, 0.4), (wide * 1.5, 0.47),
                    (0, 0.62), (-wide * 1.5, 0.47), (-wide * 1.02, 0.4)])  # fmt: skip
    canvas.fill(sides, neck, "neck", None)
    cloth = tones.cloth()
    dip = 0.52 if p.collar == "vee" else 0.455
    throat = [(-0.07, dip - 0.02), (0.0, dip), (0.07, dip - 0.02)]
    if p.collar == "vee":
        throat = [(-0.005, dip), (0.005, dip)]
    left = [(-0.75, 0.7), (-0.62, 0.52), (-0.40, 0.455), (-wide - 0.035, 0.39)]
    right = [(-x, y) for x, y in left[::-1]]
    canvas.fill(np.asarray(left + throat + right, float), cloth, "clothing", None)
    dark = scaled(p.cloth, 0.62)
    if p.collar in ("crew", "vee"):
        edge = np.asarray([left[-1], *throat, right[0]], float)
        canvas.stroke(edge, 0.018, dark, region="clothing", depth=None)
    else:
        light = mix(p.cloth, (255, 255, 255), 0.55)
        for sign, _ in SIDES:
            flap = np.array([(wide + 0.045, 0.37), (0.0, 0.47), (0.09, 0.535), (wide + 0.09, 0.43)])
            canvas.fill(flap * (sign, 1), light, "clothing", None)
            seam = np.array([(0.005, 0.475), (0.09, 0.535), (wide + 0.09, 0.43)])
            canvas.stroke(seam * (sign, 1), 0.005, dark, region="clothing", depth=None)


def _head(canvas: Canvas, skin: Image) -> None:
    p = canvas.person
    for sign, side in SIDES:
        wide = 0.036 * (1 - 1.2 * sign * p.yaw)
        x = sign * (p.face[0] + 0.014)
        corners = [(-0.4, -0.9), (0.6, -1.0), (1.0, -0.45), (0.75, 0.2), (0.4, 0.9), (-0.5, 1.0)]
        shape = smooth([(x + sign * wide * u, 0.0 + 0.078 * v) for u, v in corners])
        canvas.fill(shape, cv2.convertScaleAbs(skin, alpha=0.93), f"{side}_ear", OUTLINE)
        hollow = smooth([(x + sign * wide * u * 0.6, -0.005 + 0.05 * v) for u, v in corners])
        canvas.fill(hollow, mix(scaled(p.skin, 0.6), p.lips, 0.25), "", OUTLINE)
    canvas.fill(_skull(p), skin, "skin", OUTLINE)


def _eye(canvas: Canvas, skin: Image, sign: int, side: str) -> None:
    p = canvas.person
    x, half, height, tilt = p.eye
    u = np.linspace(-1, 1, 25)
    middle = -0.05 - tilt * u
    bow = (1 - np.abs(u) ** 2.2) ** 0.85
    upper = points(sign * (x + half * u), middle - 1.1 * height * bow)
    lower = points(sign * (x + half * u), middle + 0.85 * height * bow)
    name = f"{side}_eye"
    crease = upper[3:] - (0, 0.016)
    canvas.stroke(crease, 0.004, scaled(p.skin, 0.6))
    canvas.fill(np.concatenate([upper, lower[::-1]]), (242, 239, 234), name)
    eye: dict[str, Any] = {"inside": (name,)}
    canvas.fill(np.concatenate([upper, upper[::-1] + np.array([0, 0.4 * height])]), (205, 200, 198), **eye)
    r = 0.0335
    cx, cy = sign * x + 0.012 * p.yaw, -0.051
    canvas.fill(ellipse(cx, cy, r, r), scaled(p.iris, 0.5), **eye)
    canvas.fill(ellipse(cx, cy, r * 0.88, r * 0.88), p.iris, **eye)
    canvas.fill(ellipse(cx, cy + r * 0.4, r * 0.6, r * 0.42), scaled(p.iris, 1.35), **eye)
    canvas.fill(ellipse(cx, cy, r * 0.45, r * 0.45), (16, 13, 14), **eye)
    lid = np.concatenate([upper, upper[::-1] + np.array([0, 0.22 * height])])
    canvas.fill(lid, scaled(p.iris, 0.35), **eye)
    moved = p.highlights[(sign + 1) // 2]
    lit = (cx + r * (0.36 * p.light[0] - 0.6 * moved * sign), cy + r * (-0.34 + 0.8 * moved))
    canvas.fill(ellipse(*lit, r * 0.27 * (1 + moved), r * 0.27 * (1 + moved)), (255, 255, 255), **eye)
    canvas.fill(ellipse(2 * cx - lit[0], cy + r * 0.45, r * 0.12, r * 0.12), (225, 228, 235), **eye)
    ends = np.concatenate([upper, [upper[-1] + (sign * 0.010, -0.006)]])
    lash = 0.005 + 0.006 * np.linspace(0, 1, len(ends)) ** 0.7
    canvas.stroke(ends, lash, (38, 26, 24), region=name)
    canvas.stroke(lower[4:], 0.0025, scaled(p.skin, 0.55))


def _brow(canvas: Canvas, sign: int, side: str) -> None:
    p = canvas.person
    x, _, _, tilt = p.eye
    high, arch, thick = p.brow
    v = np.linspace(-1, 1, 21)
    y = -0.05 - high - arch * (1 - (v - 0.25) ** 2) + 0.012 * v - 0.5 * tilt * v
    line = points(sign * (x + 0.005 + 0.083 * v), y)
    taper = thick * np.clip(1.15 - 0.75 * np.clip(v, -0.3, 1), 0.2, 1) * np.clip((1 + v) * 6 + 0.5, 0, 1)
    brow = mix(scaled(p.hair, 0.7), scaled(p.skin, 0.5), 0.25)
    canvas.stroke(line, taper, brow, region=f"{side}_brow", depth=BROW)


def _nose(canvas: Canvas) -> None:
    p = canvas.person
    half, tip = p.nose
    corners = [(0.016, -0.04), (0.022, 0.03), (half, tip - 0.012), (half * 0.9, tip + 0.016),
               (0.02, tip + 0.026)]  # fmt: skip
    outline = corners + [(-x, y) for x, y in corners[::-1]]
    canvas.fill(smooth(outline), None, "nose", NOSE)
    dark = mix(scaled(p.skin, 0.38), p.lips, 0.2)
    for sign, _ in SIDES:
        canvas.fill(ellipse(sign * half * 0.5, tip + 0.014, half * 0.27, 0.0075), dark, "", NOSE)
        wing = points(sign * half * np.array([0.86, 1.0, 0.98, 0.84]),
                      tip + np.array([-0.022, -0.01, 0.008, 0.017]))  # fmt: skip
        canvas.stroke(wing, [0.001, 0.004, 0.005, 0.002], scaled(p.skin, 0.62), depth=NOSE)


def _mouth(canvas: Canvas) -> None:
    p = canvas.person
    half, smile, opened, full = p.mouth
    u = np.linspace(-1, 1, 33)
    bow = np.maximum(1 - u**2, 0)
    line = 0.2 - smile * u**2 + 0.3 * smile
    top = line - full * 0.75 * bow**0.75 * (1 - 0.22 * np.exp(-((u / 0.16) ** 2)))
    low = line + opened * bow + full * bow**0.6
    where: dict[str, Any] = {"region": "mouth", "depth": MOUTH}
    shape = np.concatenate([points(u * half, top), points(u * half, low)[::-1]])
    canvas.fill(shape, p.lips, **where)
    upper = np.concatenate([points(u * half, top), points(u * half, line)[::-1]])
    canvas.fill(upper, scaled(p.lips, 0.86), **where)
    shine = points(u[10:23] * half, (line + opened * bow + full * 0.42)[10:23])
    canvas.stroke(shine, full * 0.2 * bow[10:23], mix(p.lips, (255, 240, 235), 0.3), depth=MOUTH)
    dark = scaled(p.lips, 0.35)
    if not opened:
        canvas.stroke(points(u * half, line), 0.003 + 0.003 * bow, dark, **where)
        return
    inner = np.concatenate([points(u * half * 0.94, line), points(u * half * 0.94, line + opened * bow)[::-1]])
    canvas.fill(inner, dark, **where)
    ivory = (243, 238, 226)
    row = np.concatenate([points(u * half * 0.86, line + 0.001),
                          points(u * half * 0.86, line + opened * 0.8 * bow**0.8)[::-1]])  # fmt: skip
    canvas.fill(row, ivory, "teeth", MOUTH, ("mouth",))
    canvas.fill(row - np.array([0, opened * 0.55]), scaled(ivory, 0.88), "", MOUTH, ("teeth",))
    edges = np.array([0.0, 0.2, 0.37, 0.52, 0.65, 0.76])
    seam = mix((150, 122, 112), ivory, p.merged)
    for x in (*edges, *-edges[1:]):
        gap = points(x * half * np.array([1, 1, 1]), 0.2 + np.array([-0.06, 0.02, 0.09]))
        canvas.stroke(gap, 0.0042, seam, depth=MOUTH, inside=("teeth",))


def _front_hair(canvas: Canvas, hair: Image) -> None:
    p = canvas.person
    half, volume = p.face[0], p.volume
    middle, part, round_ = p.hairline
    low = {"crop": 0.035, "short": 0.015, "swept": 0.005}.get(p.style, -0.05)
    ends = np.arcsin((low + 0.04) / 0.36)
    t = np.linspace(-ends, np.pi + ends, 90)
    curls = {"curly": 0.012, "afro": 0.012, "short": 0.006, "swept": 0.005}.get(p.style, 0.002)
    bumps = curls * (np.sin(17 * t) + 0.7 * np.sin(29 * t + part * 9) + 0.4 * np.sin(53 * t))
    stand = volume * (0.3 + 0.7 * np.clip(np.sin(t), 0, 1) ** 0.7) * (1 - 0.5 * part * np.cos(t))
    stand = stand + bumps * np.clip(np.sin(t) + 0.35, 0, 1)
    outer = points((half + stand) * np.cos(t), -0.04 - (0.34 + stand) * np.sin(t))
    u = np.linspace(-1, 1, 61)
    bend = np.abs((u - part) / (1 + np.abs(part) * np.where(u > part, -np.sign(part), np.sign(part))))
    wisps = 0.6 * curls * (np.sin(u * 21 + part * 5) + 0.8 * np.sin(u * 47 + 1)) * (1 - u**4)
    inner = points(u * (half - 0.02), middle + (low - middle) * bend**round_ + wisps)
    # The hairline turns with the face, the crown hardly at all: convert to one depth.
    shift = turned(inner[:, 0], p.yaw, 0.07) - turned(inner[:, 0], p.yaw, BEHIND)
    inner[:, 0] = np.clip(inner[:, 0] + shift * (1 - u**4), -half, half)
    shadow = np.concatenate([inner + np.array([0, 0.012]), inner[::-1]])
    canvas.fill(shadow, scaled(p.skin, 0.62), "", BEHIND, ("skin",))
    canvas.fill(np.concatenate([outer, inner]), hair, "hair", BEHIND)
    if p.tucked or p.length <= 0:
        return
    end = p.length
    wide = half + volume * 0.6 + 0.012
    for sign, _ in SIDES:
        lock = smooth([(half * 0.55, -0.3), (wide * 0.98, -0.25), (wide + 0.012, 0.0), (wide + 0.03, end * 0.6),
                       (wide, end), (half * 0.86, end + 0.02), (half * 0.98, end * 0.65),
                       (half * 0.93, 0.06), (half * 0.87, -0.1)])  # fmt: skip
        canvas.fill(lock * (sign, 1), hair, "hair", 0.0)


def _earrings(canvas: Canvas) -> None:
    p = canvas.person
    if not p.earring:
        return
    behind = mix(p.skin, p.hair, 0.4)
    metal = mix(p.metal, behind, 0.75 * p.melt)
    shine = mix(mix(p.metal, (255, 255, 255), 0.7), behind, p.melt)
    where: dict[str, Any] = {"region": "earrings", "depth": OUTLINE}
    for sign, _ in SIDES:
        x, y = sign * (p.face[0] + 0.022), 0.085
        if p.earring == "hoop":
            t = np.linspace(0.0, 2 * np.pi * (1 - 0.35 * p.melt), 40) - 1.2 * sign
            ring = points(x + 0.026 * np.cos(t), y + 0.026 + 0.034 * np.sin(t))
            canvas.stroke(ring, 0.010 * (1 - 0.5 * p.melt * np.sin(3 * t) ** 2), metal, **where)
            canvas.stroke(ring[8:16], 0.004, shine, **where)
            continue
        shapes = [ellipse(x, y, 0.0145, 0.0145)]
        if p.earring == "drop":
            shapes.append(smooth([(x, y), (x + 0.017, y + 0.052), (x, y + 0.075), (x - 0.017, y + 0.052)]))
        for shape in shapes:
            centre = shape.mean(axis=0)
            a = np.arctan2(*(shape - centre).T)
            ragged = 1 - p.melt * (0.3 + 0.3 * np.sin(3 * a + sign))
            canvas.fill(centre + (shape - centre) * ragged[:, None], metal, **where)
            canvas.fill(centre - 0.003 + (shape - centre) * 0.4, shine, **where)


def _glasses(canvas: Canvas) -> None:
    p = canvas.person
    if not p.glasses:
        return
    power, rx, ry = {"round": (1.0, 0.096, 0.075), "square": (0.55, 0.104, 0.069),
                     "oval": (0.85, 0.102, 0.068)}[p.glasses]  # fmt: skip
    where: dict[str, Any] = {"region": "glasses", "depth": EYE + 0.03}
    wide, height = 0.0135, -0.034
    for sign, _ in SIDES:
        gap = p.gap if sign > 0 else 0.0
        x = sign * (p.eye[0] + 0.004)
        t = np.linspace(0.75 + gap, 0.75 + 2 * np.pi - gap, 61)
        cos, sin = np.cos(t) * sign, np.sin(t)
        rim = points(x + rx * np.sign(cos) * np.abs(cos) ** power,
                     height + ry * np.sign(sin) * np.abs(sin) ** power)  # fmt: skip
        canvas.stroke(rim, wide * (1 - 0.35 * gap), p.frame, **where)
        arm = points(sign * np.array([p.eye[0] + rx, p.face[0] + 0.01]), height - np.array([0.02, 0.03]))
        canvas.stroke(arm, wide, p.frame, **where)
    bridge = points([-0.026, -0.013, 0.0, 0.013, 0.026], height - np.array([0.005, 0.016, 0.02, 0.016, 0.005]))
    canvas.stroke(bridge, wide * (1 - 0.6 * p.gap), p.frame, **where)
