"""Images that are drawn, printed or photographed. Each function takes a generator, a number n and
a side, and gives images (n, side, side) of doubles, 0..255.

Sizes and strengths are round numbers that were fixed before any score of any model was computed.
"""

import numpy as np
from data import resized
from matplotlib import font_manager
from PIL import Image, ImageDraw, ImageFont

FONTS = ["DejaVu Sans", "DejaVu Sans Mono", "DejaVu Serif"]  # matplotlib depends on them
SIGNS = "ABDEFGHKMNQRSXabdeghkmnpqsy&?@%#+*"  # none is a mere stroke


def grey_photographs():
    """The two that scikit-learn comes with, as arrays of greys (ITU-R BT.601)."""
    from sklearn.datasets import load_sample_images

    return [image @ np.array([0.299, 0.587, 0.114]) for image in load_sample_images().images]


def photographs(rng, n, side):
    """Squares cut out of two photographs, a temple and a flower, at any size from 1 to 8."""
    sources = grey_photographs()
    made = []
    for _ in range(n):
        source = sources[rng.integers(len(sources))]
        part = side * int(rng.integers(1, 9))
        top, left = (int(rng.integers(0, extent - part + 1)) for extent in source.shape)
        cut = source[top:top + part, left:left + part]
        made.append(cut.reshape(side, part // side, side, part // side).mean(axis=(1, 3)))
    return np.stack(made)


def glyph(sign, font, side):
    """A sign, white on black, in the middle of the image."""
    left, top, right, bottom = font.getbbox(sign)
    image = Image.new("L", (side, side))
    place = ((side - left - right) / 2, (side - top - bottom) / 2)
    ImageDraw.Draw(image).text(place, sign, fill=255, font=font)
    return np.asarray(image, np.float64)


def glyphs(rng, n, side):
    """Letters and signs of six fonts, white on black, as large as clothes."""
    fonts = [ImageFont.truetype(font_manager.findfont(f"{name}:weight={weight}"), side - 4)
             for name in FONTS for weight in ("normal", "bold")]
    return np.stack([glyph(SIGNS[rng.integers(len(SIGNS))], fonts[rng.integers(len(fonts))], side)
                     for _ in range(n)])


def scribble(points, side, large=4):
    """A smooth curve through points (k, 2) of 0..1, two pixels wide."""
    from scipy.interpolate import CubicSpline

    curve = CubicSpline(np.arange(len(points)), points)(np.linspace(0, len(points) - 1, 200))
    image = Image.new("L", (side * large, side * large))
    ImageDraw.Draw(image).line([tuple(point) for point in curve * side * large], fill=255,
                               width=2 * large, joint="curve")
    return np.asarray(image, np.float64).reshape(side, large, side, large).mean(axis=(1, 3))


def strokes(rng, n, side):
    """A pen's line through four to seven random points."""
    return np.stack([scribble(rng.uniform(0.1, 0.9, (rng.integers(4, 8), 2)), side)
                     for _ in range(n)])


def to_greys(x):
    """Each image from black to white."""
    low, high = (extreme(axis=(1, 2), keepdims=True) for extreme in (x.min, x.max))
    return (x - low) * (255 / (high - low))


def clouds(rng, n, side):
    """Random fields of four octaves, each half as strong as the coarser one."""
    field = sum(resized(rng.normal(size=(n, cells, cells)), side) * 2.0 / cells
                for cells in (2, 4, 8, 16))
    return to_greys(field)


def two_greys(rng, n):
    """Pairs (2, n, 1, 1) at least a quarter of the range apart."""
    low = rng.uniform(0, 191, n)
    return np.stack([low, rng.uniform(low + 64, 255)])[:, :, None, None]


def checkerboards(rng, n, side):
    """Two greys, squares of 1 to 7 pixels, anywhere."""
    size = rng.integers(1, 8, n)[:, None, None]
    down, across = (np.arange(side) + rng.integers(0, 14, n)[:, None] for _ in range(2))
    black = (down[:, :, None] // size + across[:, None, :] // size) % 2 == 0
    low, high = two_greys(rng, n)
    return np.where(black, low, high)


def gratings(rng, n, side):
    """Sine waves in any direction, 2 to 14 periods across."""
    angle, phase = rng.uniform(0, 2 * np.pi, (2, n))[:, :, None, None]
    across = np.cos(angle) * np.arange(side)[:, None] + np.sin(angle) * np.arange(side)
    periods = rng.uniform(2, side / 2, n)[:, None, None]
    low, high = two_greys(rng, n)
    return low + (high - low) * (1 + np.sin(2 * np.pi * periods * across / side + phase)) / 2


def finder(size=7):
    """The mark in three corners of a QR code: white, black, white from the middle outwards."""
    ring = np.maximum.outer(*2 * [np.abs(np.arange(size) - size // 2)])
    return np.where(ring == 2, 255.0, 0.0)


def codes(rng, n, side):
    """Black and white like QR codes, a pixel for a module, with their three corner marks."""
    made = 255.0 * rng.integers(0, 2, (n, side, side))
    mark = finder()
    size = len(mark)
    quiet = size + 1
    for rows, columns, place in [
            (slice(0, quiet), slice(0, quiet), (slice(0, size), slice(0, size))),
            (slice(0, quiet), slice(-quiet, None), (slice(0, size), slice(-size, None))),
            (slice(-quiet, None), slice(0, quiet), (slice(-size, None), slice(0, size)))]:
        made[:, rows, columns] = 255
        made[:, place[0], place[1]] = mark
    return made


def stars(rng, n, side):
    """Five to fifty bright pixels on black."""
    made = np.zeros((n, side * side))
    for image in made:
        bright = rng.choice(side * side, rng.integers(5, 51), replace=False)
        image[bright] = rng.uniform(64, 255, len(bright))
    return made.reshape(n, side, side)
