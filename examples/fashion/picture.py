"""The picture: for each class where chains start, where they end, and what comes nearest."""

import matplotlib
import numpy as np

matplotlib.use("Agg")
from matplotlib import pyplot  # noqa: E402  (after the choice of backend)

NAMES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat",
         "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"]
SCALE = 2   # pixels of the picture per pixel
GAP = 2     # pixels between images
DPI = 100


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


def blocks(starts, ends, training, classes, n_starts, n_ends):
    """(heading, mosaic) of each block; of the samples the first n_starts come with a neighbour."""
    def first(x, n):
        return x.reshape(classes, -1, *x.shape[1:])[:, :n].reshape(-1, *x.shape[1:])

    compared = first(ends, n_starts)
    return [("starts", mosaic(first(starts, n_starts), n_starts)),
            ("samples", mosaic(first(ends, n_ends), n_ends)),
            ("nearest training images\nof the first samples",
             mosaic(nearest(compared, training), n_starts))]


def write(path, starts, ends, training, n_starts=4, n_ends=10):
    """Writes the picture.

    Args:
        starts, ends: 8-bit images of chains, class after class, equally many of each.
        training: 8-bit images.
    """
    classes = len(NAMES)
    per_class = len(ends) // classes
    parts = blocks(starts, ends, training, classes, min(n_starts, per_class),
                   min(n_ends, per_class))
    left, top, between = 90, 44, 16
    width = left + sum(SCALE * part.shape[1] + between for _, part in parts)
    height = top + SCALE * parts[0][1].shape[0] + 8
    figure = pyplot.figure(figsize=(width / DPI, height / DPI), dpi=DPI)
    at = left
    for heading, part in parts:
        size = [SCALE * side for side in part.shape[::-1]]
        bottom = height - top - size[1]
        figure.figimage(np.kron(part, np.ones((SCALE, SCALE), np.uint8)), at, bottom,
                        cmap="gray", vmin=0, vmax=255, origin="upper")
        figure.text((at + size[0] / 2) / width, 1 - (top - 8) / height, heading,
                    ha="center", va="bottom", fontsize=9)
        at += size[0] + between
    row = SCALE * parts[0][1].shape[0] / classes
    for label, name in enumerate(NAMES):
        figure.text((left - 8) / width, 1 - (top + (label + 0.5) * row) / height, name,
                    ha="right", va="center", fontsize=9)
    figure.savefig(path, dpi=DPI)
    pyplot.close(figure)
