#!/usr/bin/python3
"""The wide table's sets: images that are not clothes, of kinds that nothing was chosen on.

    python3 wide.py --sheet FOLDER        contact sheets, to look at

Neither the recipe of the models nor anything of the detector (kinds, combination, settings) was
chosen by figures of these sets, and neither was a set or its strength. Whoever changes one of them
by a figure of this table needs another table.
"""

import argparse
import dataclasses
import pathlib
import zlib
from collections.abc import Callable

import data
import numpy as np
import ood_clothes as clothes
import ood_drawn as drawn


@dataclasses.dataclass(frozen=True)
class OodSet:
    """One kind of images, and what they are in a phrase."""

    name: str
    what: str
    make: Callable
    of: tuple = tuple(range(data.CLASSES))  # classes of test images that it is made of
    near: bool = True


SETS = [
    OodSet("halves", "left half of one, right half of another kind of thing", clothes.halves),
    OodSet("quarters", "the four quarters in other places", clothes.quarters),
    OodSet("collage", "four images at half their size", clothes.collage),
    OodSet("upside down", "turned by 180 degrees; no dresses, no bags", clothes.upside_down,
           tuple(clothes.UPRIGHT)),
    OodSet("tilted", "turned by 45, 135, 225 or 315 degrees", clothes.tilted),
    OodSet("sheared", "slanted by 45 degrees", clothes.sheared),
    OodSet("enlarged", "the middle ninth at three times its size", clothes.enlarged),
    OodSet("fogged", "half the contrast, on grey", clothes.fogged),
    OodSet("wrapped", "greys that run from black to white eight times", clothes.wrapped),
    OodSet("blurred", "Gaussian blur, sigma 4 pixels", clothes.blurred),
    OodSet("pixelated", "4x4 blocks of even grey", clothes.pixelated),
    OodSet("specks", "a quarter of the pixels black or white", clothes.specks),
    OodSet("outlines", "edges alone, white on black", clothes.outlines),
    OodSet("spectra", "the power spectrum of clothes, random phases", clothes.spectra),
    OodSet("photographs", "squares of two photographs", drawn.photographs, (), True),
    OodSet("glyphs", "letters and signs of six fonts", drawn.glyphs, (), False),
    OodSet("strokes", "a pen's curved line", drawn.strokes, (), False),
    OodSet("clouds", "random fields of four octaves", drawn.clouds, (), False),
    OodSet("checkerboards", "two greys, squares of 1 to 7 pixels", drawn.checkerboards, (), False),
    OodSet("gratings", "sine waves in any direction", drawn.gratings, (), False),
    OodSet("codes", "like QR codes", drawn.codes, (), False),
    OodSet("stars", "5 to 50 bright pixels on black", drawn.stars, (), False),
]


def eight_bits(x):
    """Greys (n, H, W) as images like the data's; rounding, and what overshoots is cut."""
    return np.clip(np.rint(x), 0, 255).astype(np.uint8)[:, None]


def make(kind, test, n, seed=0):
    """n images (n, 1, H, W) of a set, or as many as there are test images of its classes.

    A set depends on its own name and the seed alone, not on the others.
    """
    rng = np.random.default_rng([seed, zlib.crc32(kind.name.encode())])
    if not kind.of:
        return eight_bits(kind.make(rng, n, test.x.shape[-1]))
    suitable = np.flatnonzero(np.isin(test.y, kind.of))
    rows = rng.permutation(suitable)[:n]
    return eight_bits(kind.make(rng, test.x[rows, 0].astype(np.float64), test.y[rows]))


def make_all(test, n, seed=0):
    """{name: images} of all sets."""
    return {kind.name: make(kind, test, n, seed) for kind in SETS}


def main():
    import picture
    from matplotlib import image

    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sheet", type=pathlib.Path, required=True, metavar="FOLDER")
    parser.add_argument("--data", default="fashion-mnist", metavar="PATH")
    args = parser.parse_args()
    args.sheet.mkdir(parents=True, exist_ok=True)
    for name, x in make_all(data.load(args.data).test, 96).items():
        image.imsave(args.sheet / f"{name}.png", picture.mosaic(x, 16), cmap="gray",
                     vmin=0, vmax=255)


if __name__ == "__main__":
    main()
