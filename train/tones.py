"""Shade the parts of a portrait: coarse pictures of skin, hair, wall and cloth that the shapes are filled with."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from train.drawing import EYE, NOSE, SIDES, Colour, Image, Person, turned


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
