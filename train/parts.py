"""Paint a person part by part, back to front, as a soft-shaded portrait with its labels."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np

from train.drawing import BEHIND, BROW, EYE, MOUTH, NOSE, OUTLINE, SIDES, Canvas, Image, Person, Points, ellipse, mix, points, scaled, smooth, turned
from train.tones import Tones


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
