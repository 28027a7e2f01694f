"""Images made of clothes that are no clothes any more. Each function takes a generator, images
(n, H, W) of doubles 0..255 and their labels, and gives as many images.

The rule for every strength was to take a round number at which a person sees at a glance that the
image is not one of the catalogue's; all were fixed before any score of any model was computed.
What leaves ordinary clothes ordinary, such as a slight blur or a mirror, is not here.
"""

import data
import numpy as np
from scipy import ndimage

# Kinds of things that nobody mixes up: tops and dresses, trousers, shoes, bags.
KIND = np.array([0, 1, 0, 0, 0, 2, 0, 2, 3, 2])
UPRIGHT = [0, 1, 2, 4, 5, 6, 7, 9]  # with an upper and a lower end; dresses and bags may have none

BLUR_SIGMA = 4.0  # pixels: sleeves, legs and heels, some 5 wide, merge into one blot
BLOCKS = 4  # along a side: too few to draw any garment
SPECKS = 0.25  # of the pixels, half of them black and half white
WRAPS = 8  # times that the greys run from black to white; after 4, plain shirts looked like shirts
SHEAR = 1.0  # 45 degrees


def others(rng, labels):
    """For each row a random row of another kind."""
    kinds = KIND[labels]
    rows = np.arange(len(labels))
    choice = np.empty(len(labels), np.int64)
    for kind in np.unique(kinds):
        choice[kinds == kind] = rng.choice(rows[kinds != kind], (kinds == kind).sum())
    return choice


def halves(rng, x, labels):
    """Left half of one, right half of another of a different kind."""
    made = x.copy()
    half = x.shape[2] // 2
    made[:, :, half:] = x[others(rng, labels), :, half:]
    return made


def quarters(rng, x, labels):
    """The four quarters change places; none stays in its own."""
    n, side, _ = x.shape
    half = side // 2
    parts = x.reshape(n, 2, half, 2, half).swapaxes(2, 3).reshape(n, 4, half, half)
    orders = np.array([[1, 0, 3, 2], [2, 3, 0, 1], [3, 2, 1, 0], [1, 2, 3, 0], [3, 0, 1, 2],
                       [1, 3, 0, 2], [2, 0, 3, 1], [2, 3, 1, 0], [3, 2, 0, 1]])
    moved = np.take_along_axis(parts, rng.choice(orders, n)[:, :, None, None], axis=1)
    return moved.reshape(n, 2, 2, half, half).swapaxes(2, 3).reshape(n, side, side)


def collage(rng, x, labels):
    """Four images at half their size, side by side."""
    n, side, _ = x.shape
    small = data.resized(x, side // 2)
    rows = rng.integers(0, n, (3, n))
    above = np.concatenate([small, small[rows[0]]], axis=2)
    below = np.concatenate([small[rows[1]], small[rows[2]]], axis=2)
    return np.concatenate([above, below], axis=1)


def upside_down(rng, x, labels):
    """Turned by 180 degrees."""
    return x[:, ::-1, ::-1].copy()


def mapped(x, matrices):
    """Images whose pixel at p, from the centre, is the old one at matrix @ p; black outside."""
    centre = (np.array(x.shape[1:]) - 1) / 2
    return np.stack([ndimage.affine_transform(image, matrix, centre - matrix @ centre, order=1)
                     for image, matrix in zip(x, matrices)])


def tilted(rng, x, labels):
    """Turned by 45, 135, 225 or 315 degrees."""
    angles = np.pi / 4 * (1 + 2 * rng.integers(0, 4, len(x)))
    cos, sin = np.cos(angles), np.sin(angles)
    return mapped(x, np.moveaxis(np.array([[cos, -sin], [sin, cos]]), 2, 0))


def sheared(rng, x, labels):
    """Slanted by 45 degrees to one of the four sides."""
    matrices = np.tile(np.eye(2), (len(x), 1, 1))
    rows, axis = np.arange(len(x)), rng.integers(0, 2, len(x))
    matrices[rows, axis, 1 - axis] = rng.choice([-SHEAR, SHEAR], len(x))
    return mapped(x, matrices)


def enlarged(rng, x, labels):
    """A third of the height and width around the centre, enlarged: cloth without a shape."""
    side = x.shape[1]
    part = round(side / 3)
    start = (side - part) // 2
    return data.resized(x[:, start:start + part, start:start + part], side)


def fogged(rng, x, labels):
    """Half the contrast and half of white added: black surroundings become grey."""
    return x / 2 + 127.5


def wrapped(rng, x, labels):
    """The greys run from black to white eight times."""
    return (x * WRAPS) % 256


def blurred(rng, x, labels):
    """Blurred to a blot, sigma of 4 pixels."""
    return ndimage.gaussian_filter(x, (0, BLUR_SIGMA, BLUR_SIGMA), mode="constant")


def pixelated(rng, x, labels):
    """Means of 4x4 large blocks."""
    n, side, _ = x.shape
    width = side // BLOCKS
    means = x.reshape(n, BLOCKS, width, BLOCKS, width).mean(axis=(2, 4))
    return np.kron(means, np.ones((width, width)))


def specks(rng, x, labels):
    """A quarter of the pixels replaced by black or white."""
    hit = rng.random(x.shape) < SPECKS
    return np.where(hit, rng.choice([0.0, 255.0], x.shape), x)


def outlines(rng, x, labels):
    """Sobel edges on black, the strongest of each image white: a drawing of clothes."""
    edges = np.stack([np.hypot(ndimage.sobel(one, 0), ndimage.sobel(one, 1)) for one in x])
    return edges * (255 / np.maximum(edges.max(axis=(1, 2), keepdims=True), 1))


def spectra(rng, x, labels):
    """The power spectrum of clothes with random phases: what repeats, without a shape."""
    n, side, _ = x.shape
    phases = np.fft.rfft2(rng.normal(size=x.shape))
    phases /= np.maximum(np.abs(phases), 1e-12)
    phases[:, 0, 0] = 1  # the mean grey stays
    return np.fft.irfft2(np.abs(np.fft.rfft2(x)) * phases, (side, side))
