"""Chips as the network sees them: undisturbed, and as other cameras, other light and other alignment would show them.

All sets are degraded alike, so that size, compression and colour do not give away from which set a picture is.
"""

from __future__ import annotations

import cv2
import numpy as np

SIDE = 88  # pixels of what the network sees
CROP = (
    12,
    14,
    126,
)  # left, top, side: the part of dlib's chip that is made SIDE pixels wide
WHOLE = (0, 0, 150)  # left, top, side of the whole chip


def plain(chip: np.ndarray, *, mirrored: bool = False) -> np.ndarray:
    """(SIDE, SIDE, 3) as the exported graph cuts it."""
    left, top, side = CROP
    x = cv2.resize(
        chip[top : top + side, left : left + side],
        (SIDE, SIDE),
        interpolation=cv2.INTER_LINEAR,
    )
    return np.ascontiguousarray(x[:, ::-1]) if mirrored else x


def disturbed(
    chip: np.ndarray,
    rng: np.random.Generator,
    *,
    mirrored: bool,
    crop: tuple[int, int, int] = CROP,
    side: int = SIDE,
) -> np.ndarray:
    """A training view of the `crop` of a chip (150, 150, 3), `side` pixels wide."""
    x = resample(chip, rng) if rng.random() < 0.35 else chip
    x = cv2.warpAffine(
        x,
        placed(chip.shape[0] / x.shape[0], rng, crop, side, mirrored=mirrored),
        (side, side),
        borderMode=cv2.BORDER_REPLICATE,
    )
    if rng.random() < 0.25:
        x = cv2.cvtColor(cv2.cvtColor(x, cv2.COLOR_BGR2GRAY), cv2.COLOR_GRAY2BGR)
    x = light(x, rng)
    if rng.random() < 0.1:
        x = noisy(x, rng)
    if rng.random() < 0.05:
        x = erase(x, rng)
    return x


def resample(chip: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Smaller by up to four times, sometimes compressed; it is enlarged again when it is warped."""
    side = int(np.exp(rng.uniform(np.log(36), np.log(150))))
    x = cv2.resize(chip, (side, side), interpolation=cv2.INTER_AREA)
    if rng.random() < 0.5:
        _, code = cv2.imencode(
            ".jpg", x, [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(30, 92))]
        )
        x = cv2.imdecode(code, cv2.IMREAD_COLOR)
    return x


def placed(
    scale: float,
    rng: np.random.Generator,
    crop: tuple[int, int, int],
    side: int,
    *,
    mirrored: bool,
) -> np.ndarray:
    """The map (2, 3) onto the view: turned, scaled, moved a little; `scale` brings pixels back to the chip's size."""
    angle, zoom = (
        np.deg2rad(rng.normal(0, 4)),
        side / crop[2] * np.exp(rng.normal(0, 0.05)),
    )
    turn = zoom * np.array(
        [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    )
    if mirrored:
        turn[0] = -turn[0]
    middle = np.array([crop[0] + crop[2] / 2, crop[1] + crop[2] / 2])
    return np.column_stack(
        [turn * scale, side / 2 + rng.normal(0, 0.02, 2) * side - turn @ middle]
    )


def light(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Gamma, contrast, brightness and, half of the time, a colour cast (grey pictures too), by a table."""
    v = (np.arange(256) / 255) ** np.exp(rng.normal(0, 0.25))
    v = (v - 0.5) * np.exp(rng.normal(0, 0.18)) + 0.5 + rng.normal(0, 0.06)
    gain = np.exp(rng.normal(0, 0.1, 3)) if rng.random() < 0.5 else np.ones(3)
    table = np.clip(v[:, None] * gain, 0, 1) * 255
    return cv2.LUT(x, table.astype(np.uint8)[None])


def noisy(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(0, rng.uniform(2, 9), x.shape[:2])
    return np.clip(x + noise[..., None], 0, 255).astype(np.uint8)


def erase(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A square of one colour over a part of the face."""
    size = int(rng.uniform(0.15, 0.4) * len(x))
    left, top = rng.integers(0, len(x) - size, 2)
    x = x.copy()
    x[top : top + size, left : left + size] = rng.integers(0, 256, 3)
    return x
