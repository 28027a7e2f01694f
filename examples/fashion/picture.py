"""The picture: for each class where chains start, where they end, and what comes nearest."""

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (after the choice of backend)

NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
         "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
SCALE, GAP = 2, 2  # pixels of the picture per pixel; pixels between images
LEFT, TOP, BETWEEN, BELOW, DPI = 90, 44, 16, 8, 100  # pixels of the picture around the blocks


def nearest(x, training):
    """For each image the training image at the least Euclidean distance."""
    flat, others = (images.reshape(len(images), -1).astype(np.float32) for images in (x, training))
    squares = (others**2).sum(axis=1) - 2 * flat @ others.T  # |x|^2 is the same for all
    return training[squares.argmin(axis=1)]


def mosaic(x, columns):
    """Images (n, 1, H, W), `columns` of them side by side, on white."""
    n, _, height, width = x.shape
    framed = np.full((n, height + GAP, width + GAP), 255, np.uint8)
    framed[:, :height, :width] = x[:, 0]
    rows = framed.reshape(n // columns, columns, height + GAP, width + GAP)
    return rows.swapaxes(1, 2).reshape(-1, columns * (width + GAP))


def first(x, n):
    """The first n images of each class, or all if there are fewer."""
    return x.reshape(len(NAMES), -1, *x.shape[1:])[:, :n].reshape(-1, *x.shape[1:])


def blocks(starts, ends, training, n_starts, n_ends):
    """(heading, mosaic) of each block; the first n_starts samples are compared with training."""
    compared = first(ends, n_starts)
    parts = {"starts": first(starts, n_starts), "samples": first(ends, n_ends),
             "nearest training images\nof the first samples": nearest(compared, training)}
    return [(heading, mosaic(x, len(x) // len(NAMES))) for heading, x in parts.items()]


def show(figure, heading, part, left):
    """Draws a block, pixel by pixel, with its upper left corner at (left, TOP)."""
    width, height = figure.get_size_inches() * DPI
    enlarged = np.kron(part, np.ones((SCALE, SCALE), np.uint8))
    figure.figimage(enlarged, left, height - TOP - len(enlarged), cmap="gray", vmin=0, vmax=255,
                    origin="upper")
    figure.text((left + enlarged.shape[1] / 2) / width, 1 - (TOP - 8) / height, heading,
                ha="center", va="bottom", fontsize=9)


def name_rows(figure, row):
    """Writes the classes' names beside rows of that height."""
    width, height = figure.get_size_inches() * DPI
    for label, name in enumerate(NAMES):
        figure.text((LEFT - 8) / width, 1 - (TOP + (label + 0.5) * row) / height, name,
                    ha="right", va="center", fontsize=9)


def write(path, starts, ends, training, n_starts=4, n_ends=10):
    """Writes the picture.

    Args:
        starts, ends: 8-bit images of chains, class after class, equally many of each.
        training: 8-bit images.
    """
    parts = blocks(starts, ends, training, n_starts, n_ends)
    rows = SCALE * len(parts[0][1])
    width = LEFT + sum(SCALE * part.shape[1] + BETWEEN for _, part in parts)
    figure = pyplot.figure(figsize=(width / DPI, (TOP + rows + BELOW) / DPI), dpi=DPI)
    left = LEFT
    for heading, part in parts:
        show(figure, heading, part, left)
        left += SCALE * part.shape[1] + BETWEEN
    name_rows(figure, rows / len(NAMES))
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)
