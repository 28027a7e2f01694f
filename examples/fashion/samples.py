"""Class-conditional samples of a model, and what the judge, another classifier, says of them."""

import numpy as np
from built import jem
from data import CLASSES
from metrics import frechet_distance, within_class_distance


def draw(path, training, per_class, steps, chain, seed=0, **run):
    """Fresh chains, class after class: where they start and where they end, as 8-bit images.

    Args:
        path: The model file.
        training: Images that the starts are fitted on.
        chain: Settings of jem_sampler_config.
        **run: How the model is run: threads, precision_chains.
    """
    labels = np.repeat(np.arange(CLASSES), per_class)
    with jem.Model.load(path, **run) as model:
        info = model.info
        with jem.Sampler(model, seed=seed, capacity=1, x_low=info.input_low,
                         x_high=info.input_high, **chain) as sampler:
            sampler.fit(model.input_from_u8(training.x), training.y)
            starts = sampler.start(len(labels), labels)
            ends = sampler.run(starts, steps, labels)
        return model.input_to_u8(starts), model.input_to_u8(ends)


class Judge:
    """A trained classifier that recognises images and gives the features of its last layer."""

    def __init__(self, path, threads):
        self.classifier = jem.Model.load(path, threads=threads)

    def about(self, test):
        """What it is, and how well it recognises the test images."""
        return {"arch": self.classifier.arch, "parameters": self.classifier.info.param_count,
                "accuracy": self.accuracy(test)}

    def accuracy(self, images):
        return float((self.classifier.predict(self._inputs(images.x)) == images.y).mean())

    def features(self, x):
        return self.classifier.features(self._inputs(x))

    def _inputs(self, x):
        return self.classifier.input_from_u8(x)


def judged(judge, images, test_features):
    """The judge's figures for Images."""
    features = judge.features(images.x)
    return {"recognised": judge.accuracy(images),
            "frechet": frechet_distance(features, test_features),
            "distance": within_class_distance(features, images.y),
            "distance_pixels": within_class_distance(images.x / 255, images.y)}


def compare(judge, test, others):
    """judged() for each of {name: Images}, all with as many rows of a class as `test`."""
    test_features = judge.features(test.x)
    table = {name: judged(judge, images, test_features)
             for name, images in {"test": test, **others}.items()}
    for row in table.values():
        for key in ("distance", "distance_pixels"):
            row[f"{key}_ratio"] = row[key] / table["test"][key]
    return table
