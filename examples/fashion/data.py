"""Fashion-MNIST split in three, and scikit-learn's digits in its size."""

import dataclasses
import gzip
import pathlib

import numpy as np

DEBIAN = "/usr/share/datasets/fashion-mnist"
CLASSES = 10
HELD_OUT_PART = 12  # the last twelfth of the training images is kept from training


@dataclasses.dataclass(frozen=True)
class Images:
    """8-bit images (n, 1, H, W) and their labels (n,)."""

    x: np.ndarray
    y: np.ndarray

    def __getitem__(self, rows):
        return Images(self.x[rows], self.y[rows])

    def __len__(self):
        return len(self.x)

    def balanced(self, per_class):
        """The first images of each class, class after class."""
        fewest = np.bincount(self.y, minlength=CLASSES).min()
        if fewest < per_class:
            raise ValueError(f"a class has {fewest} images; expected {per_class}")
        return self[np.concatenate([np.flatnonzero(self.y == label)[:per_class]
                                    for label in range(CLASSES)])]


@dataclasses.dataclass(frozen=True)
class Fashion:
    """The data as the example uses them."""

    training: Images
    held_out: Images
    test: Images


def read_idx(path):
    """An IDX file of bytes, packed or not: four bytes of magic, the sizes, the values."""
    packed = path.with_name(path.name + ".gz")
    content = gzip.decompress(packed.read_bytes()) if packed.exists() else path.read_bytes()
    rank = content[3]
    shape = np.frombuffer(content, ">u4", rank, 4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_images(folder, prefix):
    x = read_idx(folder / f"{prefix}-images-idx3-ubyte")
    y = read_idx(folder / f"{prefix}-labels-idx1-ubyte")
    return Images(x[:, None], y.astype(np.int64))


def load(path="fashion-mnist"):
    """The data set at a path that `jem train --data` takes: the Debian package's or a folder."""
    folder = pathlib.Path(DEBIAN if path == "fashion-mnist" else path)
    given = read_images(folder, "train")
    kept = len(given) - len(given) // HELD_OUT_PART
    return Fashion(given[:kept], given[kept:], read_images(folder, "t10k"))


def resized(images, side):
    """Square images (n, s, s) in another size, bilinearly, the pixels' centres aligned."""
    old = images.shape[1]
    at = np.clip((np.arange(side) + 0.5) * old / side - 0.5, 0, old - 1)
    weights = np.maximum(1 - np.abs(at[:, None] - np.arange(old)), 0)  # (side, old), rows sum to 1
    return weights @ images @ weights.T


def digits(side=28):
    """scikit-learn's 1797 handwritten digits, 8x8 with values 0..16, as images like ours."""
    from sklearn.datasets import load_digits

    images = resized(load_digits().images, side)
    return np.rint(images * (255 / 16)).astype(np.uint8)[:, None]
