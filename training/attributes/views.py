"""From a picture to a chip the way the shipped path cuts it, and the disturbances a training view goes through.

View 0 is undisturbed. The others disturb the light, the camera (size, blur, JPEG, noise), the colour, the surroundings,
the box handed to the aligner and the alignment itself, as other detectors and cameras will.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from data import UPSCALE

from mien.dlib_models import chip, landmarks

PAD = 0.5  # of the side, on every side: both sets are cut too tight for a detector


@dataclass(frozen=True)
class Cutter:
    """Cuts one view's chips out of padded pictures by dlib's five points inside each picture's box.

    `boxes` (N, 4) xyxy are in the padded, undisturbed pictures.
    """

    predictor: landmarks.ShapePredictor
    set_name: str
    view: int
    boxes: np.ndarray

    def __call__(self, picture: np.ndarray, index: int) -> np.ndarray:
        """The chip (150, 150, 3) BGR of picture `index`."""
        box, view = self.boxes[index], self.view
        if view == 0:
            padded = pad(enlarge(picture, self.set_name), cv2.BORDER_REPLICATE)
            return self._cut(padded, box, None)
        rng = np.random.default_rng((index, view, len(self.set_name)))
        strong = view > 1
        picture = disturb(picture, rng, self.set_name) if strong else light(enlarge(picture, self.set_name), rng, 0.5)
        way = (cv2.BORDER_REPLICATE, cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT)[rng.integers(3)]
        colour = np.clip(rng.integers(0, 256) + rng.normal(0, 25, 3), 0, 255)
        padded = pad(picture, way, tuple(map(int, colour)))
        result = self._cut(padded, jitter_box(box, rng, 1.0 if strong else 0.6), rng if strong else None)
        mirrored = view == 1 or rng.random() < 0.5
        return np.ascontiguousarray(result[:, ::-1]) if mirrored else result

    def _cut(self, padded: np.ndarray, box: np.ndarray, rng: np.random.Generator | None) -> np.ndarray:
        points = landmarks.predict(self.predictor, padded, np.rint(box[None]).astype(np.int64))
        return chip.cut_chips(padded, points if rng is None else jitter_points(points, rng))[0]


def enlarge(picture: np.ndarray, set_name: str, way: int = cv2.INTER_CUBIC) -> np.ndarray:
    factor = UPSCALE[set_name]
    return picture if factor == 1 else cv2.resize(picture, None, fx=factor, fy=factor, interpolation=way)


def pad(picture: np.ndarray, way: int, colour: tuple[int, ...] = (127, 127, 127)) -> np.ndarray:
    """The picture with half its side around it; what is made up is blurred so that no second face appears."""
    h, w = picture.shape[:2]
    y, x = int(h * PAD), int(w * PAD)
    padded = cv2.copyMakeBorder(picture, y, y, x, x, way, value=colour)
    blurred = cv2.blur(padded, (max(3, w // 12) | 1, max(3, h // 12) | 1))
    blurred[y : y + h, x : x + w] = picture
    return blurred


def jitter_box(box: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2
    centre = centre + rng.normal(0, 0.045 * amount, 2) * half * 2
    half = half * np.exp(rng.normal(0, 0.06 * amount))
    return np.concatenate([centre - half, centre + half])


def jitter_points(points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The points turned, scaled and shifted together: the face sits a little askew in its chip."""
    middle = points.mean(axis=1, keepdims=True)
    size = np.ptp(points, axis=1).max()
    angle, scale = np.deg2rad(rng.normal(0, 5)), np.exp(rng.normal(0, 0.05))
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return ((points - middle) @ turn.T + middle + rng.normal(0, 0.03, 2) * size).astype(np.float32)


def disturb(picture: np.ndarray, rng: np.random.Generator, set_name: str) -> np.ndarray:
    """Another camera: size, blur, light, colour, noise, compression; enlarged at the end where the set asks for it."""
    picture = resample(picture, rng, least=24 if set_name == "ferplus" else 30)
    ways = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4, cv2.INTER_AREA)
    picture = enlarge(picture, set_name, ways[rng.integers(4)])
    if rng.random() < 0.35:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.6))
    picture = light(picture, rng, 1.0)
    picture = tint(picture, rng) if set_name == "ferplus" or rng.random() < 0.5 else picture
    if set_name == "utkface" and rng.random() < 0.3:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    if rng.random() < 0.3:
        noise = rng.normal(0, rng.uniform(2, 10), picture.shape)
        picture = np.clip(picture + noise, 0, 255).astype(np.uint8)
    if rng.random() < 0.5:
        _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))])
        picture = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return picture


def resample(picture: np.ndarray, rng: np.random.Generator, *, least: int) -> np.ndarray:
    """Half of the time the picture made smaller and larger again, down to `least` pixels a side."""
    side = picture.shape[0]
    if rng.random() < 0.5:
        return picture
    small = int(np.exp(rng.uniform(np.log(least), np.log(side))))
    shrunk = cv2.resize(picture, (small, small), interpolation=cv2.INTER_AREA)
    return cv2.resize(shrunk, (side, side), interpolation=cv2.INTER_LINEAR if rng.random() < 0.5 else cv2.INTER_CUBIC)


def light(picture: np.ndarray, rng: np.random.Generator, amount: float) -> np.ndarray:
    """Gamma, contrast and brightness changed; sometimes light from one side."""
    x = (picture.astype(np.float32) / 255) ** np.exp(rng.normal(0, 0.3 * amount))
    x = (x - 0.5) * np.exp(rng.normal(0, 0.2 * amount)) + 0.5 + rng.normal(0, 0.08 * amount)
    if rng.random() < 0.3 * amount:
        ramp = np.linspace(-1, 1, x.shape[1], dtype=np.float32)[None, :, None]
        x = x * (1 + rng.uniform(-0.5, 0.5) * ramp)
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)


def tint(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A colour cast; grey faces turn skin-coloured (warm) half of the time."""
    gain = np.exp(rng.normal(0, 0.1, 3))
    if rng.random() < 0.5:
        gain = gain * (rng.uniform(0.65, 1), rng.uniform(0.8, 1), rng.uniform(1, 1.3))
    return np.clip(picture * gain, 0, 255).astype(np.uint8)
