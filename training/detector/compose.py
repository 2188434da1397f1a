"""Training pictures: negatives, scene crops, pasted faces, grids and close-ups; then bad light, blur, JPEG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from sources import Bank, Portrait, read

Image = NDArray[np.uint8]
Rng = np.random.Generator
F32 = NDArray[np.float32]
NEGATIVE, SCENE, PASTE, GRID, CLOSE = range(5)
MIX = (0.28, 0.34, 0.14, 0.08, 0.16)  # shares of the kinds above
BORDERS = (cv2.BORDER_REFLECT_101, cv2.BORDER_CONSTANT, cv2.BORDER_REPLICATE)
FACE_PX = (10.0, 200.0)  # width of a pasted face, log-uniform, at 256 px


def log_uniform(rng: Rng, low: float, high: float) -> float:
    return float(np.exp(rng.uniform(np.log(low), np.log(max(high, low * 1.001)))))


def warp(
    image: Image, matrix: F32, size: int, *, border: int = cv2.BORDER_REFLECT_101
) -> Image:
    """Affine warp to (size, size); pictures that shrink a lot are averaged first."""
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))
    if scale < 0.6:
        shrunk = cv2.resize(
            image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA
        )
        ratio = np.array(
            [image.shape[1] / shrunk.shape[1], image.shape[0] / shrunk.shape[0], 1.0]
        )
        image, matrix = (
            np.asarray(shrunk, dtype=image.dtype),
            (matrix * ratio).astype(np.float32),
        )
    return np.asarray(
        cv2.warpAffine(
            image, matrix, (size, size), flags=cv2.INTER_LINEAR, borderMode=border
        ),
        dtype=image.dtype,
    )


def similarity(
    centre: Sequence[float],
    target: Sequence[float],
    *,
    scale: float,
    angle_deg: float,
    flip: bool,
) -> F32:
    """(2,3) matrix that turns, scales and mirrors about ``centre`` and moves it to ``target``."""
    angle = np.deg2rad(angle_deg)
    turn = scale * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    turn = turn @ np.diag([-1.0 if flip else 1.0, 1.0])
    shift = np.asarray(target) - turn @ np.asarray(centre)
    return np.column_stack([turn, shift]).astype(np.float32)


def random_angle(rng: Rng) -> float:
    return (
        float(rng.uniform(-30, 30)) if rng.random() < 0.4 else float(rng.normal(0, 6))
    )


def random_crop(
    rng: Rng, image: Image, size: int, *, side: tuple[float, float]
) -> Image:
    """A turned square of ``side`` px (log-uniform) anywhere in the picture, as (size, size)."""
    height, width = image.shape[:2]
    length = log_uniform(rng, *side)
    low = min(length / 2, min(height, width) / 2)
    centre = (
        rng.uniform(low, max(width - low, low + 1)),
        rng.uniform(low, max(height - low, low + 1)),
    )
    border = cv2.BORDER_REFLECT_101 if rng.random() < 0.7 else cv2.BORDER_CONSTANT
    matrix = similarity(
        centre,
        (size / 2, size / 2),
        scale=size / length,
        angle_deg=random_angle(rng),
        flip=rng.random() < 0.5,
    )
    return warp(image, matrix, size, border=border)


class Composer:
    """Draws finished training pictures; the same generator state gives the same picture."""

    def __init__(
        self,
        bank: Bank,
        *,
        size: int,
        hard: tuple[Sequence[Path], Sequence[Path]] = ((), ()),
        occluding: bool = True,
    ) -> None:
        self.bank, self.size, self.occluding = bank, size, occluding
        self.hard_faceless, self.hard_people = hard
        self._kinds: dict[int, Callable[[Rng], Image]] = {
            NEGATIVE: self.negative,
            SCENE: self.scene,
            PASTE: self.paste,
            GRID: self.grid,
            CLOSE: self.close,
        }

    def __call__(self, rng: Rng) -> tuple[Image, int]:
        """A clean picture (size,size,3) and its kind."""
        kind = int(rng.choice(len(MIX), p=MIX))
        return self._kinds[kind](rng), kind

    def negative(self, rng: Rng) -> Image:
        """A face-free crop, or four of them."""
        if self.hard_faceless and rng.random() < 0.5:
            return self._hard(rng, self.hard_faceless)
        if rng.random() < 0.75:
            return self._faceless(rng, self.size)
        half = self.size // 2
        tiles = [self._faceless(rng, half) for _ in range(4)]
        return np.vstack([np.hstack(tiles[:2]), np.hstack(tiles[2:])])

    def _faceless(self, rng: Rng, size: int) -> Image:
        image = read(self.bank.faceless[rng.integers(len(self.bank.faceless))])
        if rng.random() < 0.15:
            image = np.ascontiguousarray(np.rot90(image, int(rng.integers(1, 4))))
        longest = max(image.shape[:2])
        return random_crop(
            rng, image, size, side=(max(40.0, longest / 6), longest * 1.4)
        )

    def _hard(self, rng: Rng, crops: Sequence[Path]) -> Image:
        """A crop the student once called a face and the teacher did not, at another place and size."""
        image = read(crops[rng.integers(len(crops))])
        longest = max(image.shape[:2])
        return random_crop(rng, image, self.size, side=(longest * 0.45, longest * 1.3))

    def scene(self, rng: Rng) -> Image:
        """A crop of a photo with people."""
        if self.hard_people and rng.random() < 0.4:
            return self._hard(rng, self.hard_people)
        image = read(self.bank.scenes[rng.integers(len(self.bank.scenes))])
        return random_crop(rng, image, self.size, side=(90.0, 560.0))

    def paste(self, rng: Rng) -> Image:
        """One to seven faces over a background."""
        canvas = (
            self._faceless(rng, self.size) if rng.random() < 0.6 else self.scene(rng)
        )
        for _ in range(int(rng.integers(1, 8))):
            canvas = self._paste_one(rng, canvas)
        return canvas

    def _paste_one(self, rng: Rng, canvas: Image) -> Image:
        portrait, photo = self._portrait(rng)
        matrix = self._placed(
            rng, portrait, log_uniform(rng, *FACE_PX) * self.size / 256
        )
        keep = np.zeros(photo.shape[:2], np.float32)
        inset = int(rng.integers(1, 14))
        keep[inset:-inset, inset:-inset] = 1
        if rng.random() < 0.6:
            keep = np.asarray(
                cv2.GaussianBlur(keep, (0, 0), float(rng.uniform(1, 8))),
                dtype=np.float32,
            )
        mask = cv2.warpAffine(keep, matrix, (self.size, self.size))[..., None]
        front = warp(photo, matrix, self.size)
        return (canvas * (1 - mask) + front * mask).astype(np.uint8)

    def _placed(self, rng: Rng, portrait: Portrait, width: float) -> F32:
        """Where a portrait goes for its face to be ``width`` px wide, anywhere, also cut by the border."""
        box = portrait.box
        scale = width / max(float(box[2] - box[0]), 1.0)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        target = rng.uniform(-0.02 * self.size, 1.02 * self.size, 2)
        return similarity(
            centre,
            target,
            scale=scale,
            angle_deg=random_angle(rng),
            flip=rng.random() < 0.5,
        )

    def grid(self, rng: Rng) -> Image:
        """A wall of 2x2 to 7x7 photos."""
        count = int(rng.integers(2, 8))
        cell = -(-self.size // count)
        rows = [
            np.hstack([self._tile(rng, cell) for _ in range(count)])
            for _ in range(count)
        ]
        return np.ascontiguousarray(np.vstack(rows)[: self.size, : self.size])

    def _tile(self, rng: Rng, cell: int) -> Image:
        if rng.random() < 0.15:
            return self._faceless(rng, cell)
        portrait, photo = self._portrait(rng)
        box = portrait.box
        length = float(box[3] - box[1]) * rng.uniform(1.05, 1.7)
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        matrix = similarity(
            centre,
            (cell / 2, cell / 2),
            scale=cell / length,
            angle_deg=random_angle(rng),
            flip=False,
        )
        return warp(photo, matrix, cell, border=BORDERS[rng.integers(3)])

    def close(self, rng: Rng) -> Image:
        """One big face, up to filling the picture."""
        portrait, photo = self._portrait(rng)
        box = portrait.box
        width = log_uniform(rng, 60, 300) * self.size / 256
        centre = ((box[0] + box[2]) / 2, (box[1] + box[3]) / 2)
        target = self.size / 2 + rng.normal(0, 0.2, 2) * self.size
        scale = width / max(float(box[2] - box[0]), 1.0)
        matrix = similarity(
            centre,
            target,
            scale=scale,
            angle_deg=random_angle(rng),
            flip=rng.random() < 0.5,
        )
        return warp(
            photo,
            matrix,
            self.size,
            border=BORDERS[rng.integers(1 if width < self.size / 2 else 0, 3)],
        )

    def _portrait(self, rng: Rng) -> tuple[Portrait, Image]:
        portrait = self.bank.portraits[rng.integers(len(self.bank.portraits))]
        photo = read(portrait.photo)
        cover, seed = rng.random() < 0.35, int(rng.integers(2**31))
        if not (cover and self.occluding):
            return portrait, photo
        return portrait, occlude(np.random.default_rng(seed), photo, portrait)

    def bare(self) -> Composer:
        """The same composer without masks, glasses and hands: from the same state it draws the same faces bare."""
        return Composer(
            self.bank,
            size=self.size,
            hard=(self.hard_faceless, self.hard_people),
            occluding=False,
        )


def occlude(rng: Rng, photo: Image, portrait: Portrait) -> Image:
    """The photo with a mask, dark glasses or a hand-like blob over the face."""
    photo, pts, box = photo.copy(), portrait.points, portrait.box
    colour = [
        int(v)
        for v in (
            rng.integers(0, 256, 3)
            if rng.random() < 0.6
            else np.array([110, 140, 190]) + rng.integers(-50, 50)
        )
    ]
    kind = rng.random()
    if kind < 0.55:
        cover_mouth(photo, pts, box, colour)
    elif kind < 0.7:
        width = float(pts[1, 0] - pts[0, 0])
        for eye in pts[:2]:
            cv2.ellipse(
                photo,
                (int(eye[0]), int(eye[1])),
                (int(width * 0.38), int(width * 0.28)),
                0,
                0,
                360,
                colour,
                -1,
            )
    else:
        where = rng.uniform(box[:2], box[2:])
        axes = rng.uniform(0.12, 0.4, 2) * float(box[2] - box[0])
        angle = float(rng.uniform(0, 180))
        cv2.ellipse(
            photo,
            (int(where[0]), int(where[1])),
            (int(axes[0]), int(axes[1])),
            angle,
            0,
            360,
            colour,
            -1,
        )
    return photo


def cover_mouth(photo: Image, pts: F32, box: F32, colour: list[int]) -> None:
    """A cloth mask from the bridge of the nose to the chin, drawn in place."""
    eyes, mouth = (pts[0] + pts[1]) / 2, (pts[3] + pts[4]) / 2
    top = eyes * 0.45 + pts[2] * 0.55
    down = (mouth - eyes) * 0.75
    side = (pts[1] - pts[0]) * 0.85
    shape = [
        top,
        top + side + down * 0.1,
        mouth + side * 0.9,
        mouth + down + side * 0.3,
    ]
    shape += [mouth + down - side * 0.3, mouth - side * 0.9, top - side + down * 0.1]
    polygon = np.asarray(shape, np.int32)
    cv2.fillPoly(photo, [polygon], colour)
    cv2.polylines(photo, [polygon], True, [max(c - 30, 0) for c in colour], 1)


def degrade(rng: Rng, image: Image) -> Image:
    """Colour, light, blur, noise and compression as cameras make them; many pictures stay nearly clean."""
    out = image.astype(np.float32)
    for chance, change in (
        (0.5, colour),
        (0.12, grey),
        (0.09, darken),
        (0.07, back_light),
        (0.2, blur),
        (0.25, noise),
    ):
        if rng.random() < chance:
            out = change(rng, out)
    result: Image = np.clip(out, 0, 255).astype(np.uint8)
    if rng.random() < 0.08:
        result = shrink(rng, result)
    return jpeg(rng, result) if rng.random() < 0.4 else result


def colour(rng: Rng, image: F32) -> F32:
    gains = rng.normal(1, 0.08, 3) * rng.uniform(0.7, 1.3)
    curved = 255 * np.power(np.clip(image, 0, 255) / 255, rng.uniform(0.6, 1.6))
    return np.asarray(curved * gains + rng.uniform(-15, 15), dtype=np.float32)


def grey(rng: Rng, image: F32) -> F32:
    mean = image @ np.array([0.114, 0.587, 0.299], np.float32)
    return np.repeat(mean[..., None], 3, 2)


def darken(rng: Rng, image: F32) -> F32:
    dark = image * rng.uniform(0.15, 0.55)
    return np.asarray(
        dark + rng.normal(0, rng.uniform(0, 5), image.shape), dtype=np.float32
    )


def back_light(rng: Rng, image: F32) -> F32:
    """A bright corner, the rest in shade."""
    height, width = image.shape[:2]
    y, x = np.mgrid[0:height, 0:width] / np.reshape([height, width], (2, 1, 1))
    glow = np.exp(
        -((x - rng.uniform(0, 1)) ** 2 + (y - rng.uniform(0, 1)) ** 2)
        / rng.uniform(0.05, 0.4)
    )
    return np.asarray(
        image * rng.uniform(0.3, 0.6) + 220 * rng.uniform(0.3, 0.8) * glow[..., None],
        dtype=np.float32,
    )


def blur(rng: Rng, image: F32) -> F32:
    if rng.random() < 0.7:
        return np.asarray(
            cv2.GaussianBlur(image, (0, 0), float(rng.uniform(0.4, 1.6))),
            dtype=np.float32,
        )
    length = int(rng.integers(3, 8))
    kernel = np.zeros((length, length), np.float32)
    kernel[length // 2] = 1 / length
    return np.asarray(
        cv2.filter2D(image, -1, kernel if rng.random() < 0.5 else kernel.T),
        dtype=np.float32,
    )


def noise(rng: Rng, image: F32) -> F32:
    return image + rng.normal(0, rng.uniform(2, 14), image.shape).astype(np.float32)


def shrink(rng: Rng, image: Image) -> Image:
    scale = float(rng.uniform(0.4, 0.85))
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, image.shape[1::-1]), dtype=np.uint8)


def jpeg(rng: Rng, image: Image) -> Image:
    data = cv2.imencode(
        ".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(25, 92))]
    )[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), dtype=np.uint8)
