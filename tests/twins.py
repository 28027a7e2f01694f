"""libjem's networks in PyTorch, with libjem's tensor names as state_dict keys.

What the goldens are computed with, and what libjem is timed against.
"""

import itertools
import math

from torch import nn
from torch.nn import functional

ACTIVATIONS = {
    "lrelu": lambda x, inplace=False: functional.leaky_relu(x, 0.2, inplace),
    "relu": functional.relu,
    "silu": functional.silu,
    "elu": lambda x, inplace=False: functional.elu(x, inplace=inplace),
    "softplus": lambda x, inplace=False: functional.softplus(x),
    "tanh": lambda x, inplace=False: x.tanh_() if inplace else x.tanh(),
}


def make_norm(name, channels, images):
    """The normalisation layer of an arch's norm=... ."""
    if name == "batch":
        return (nn.BatchNorm2d if images else nn.BatchNorm1d)(channels)
    groups = {"layer": 1, "instance": channels}
    if name in groups or name.startswith("group"):
        return nn.GroupNorm(groups.get(name) or int(name.removeprefix("group")), channels)
    return nn.Identity()


class Mlp(nn.Module):
    def __init__(self, widths, act, norm, shape, classes):
        super().__init__()
        sizes = [math.prod(shape), *widths]
        self.act = act
        self.hidden = nn.ModuleList(nn.Linear(a, b) for a, b in zip(sizes, widths))
        self.norm = nn.ModuleList(make_norm(norm, width, False) for width in widths)
        self.head = nn.Linear(sizes[-1], classes)

    def forward(self, x):
        x = x.flatten(1)
        for layer, norm in zip(self.hidden, self.norm):
            x = self.act(norm(layer(x)), inplace=True)
        return self.head(x)


class Cnn(nn.Module):
    def __init__(self, widths, act, norm, shape, classes):
        super().__init__()
        channels, *sides = shape
        self.act = act
        self.conv = nn.ModuleList()
        self.windows = []
        for width in widths:
            self.conv.append(nn.Conv2d(channels, width, 3, padding=1))
            self.windows.append(tuple(2 if side > 1 else 1 for side in sides))
            sides = [side // window for side, window in zip(sides, self.windows[-1])]
            channels = width
        self.norm = nn.ModuleList(make_norm(norm, width, True) for width in widths)
        self.head = nn.Linear(channels * sides[0] * sides[1], classes)

    def forward(self, x):
        for layer, norm, window in zip(self.conv, self.norm, self.windows):
            x = functional.avg_pool2d(self.act(norm(layer(x)), inplace=True), window)
        return self.head(x.flatten(1))


class Block(nn.Module):
    def __init__(self, inputs, outputs, stride, act, norm):
        super().__init__()
        self.act = act
        self.norm1 = make_norm(norm, inputs, True)
        self.norm2 = make_norm(norm, outputs, True)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, padding=1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, stride=stride, padding=1)
        self.shortcut = None
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Conv2d(inputs, outputs, 1, stride=stride)

    def forward(self, x):
        y = self.conv1(self.act(self.norm1(x)))
        y = self.conv2(self.act(self.norm2(y), inplace=True))
        y += x if self.shortcut is None else self.shortcut(x)
        return y


class Wrn(nn.Module):
    def __init__(self, numbers, act, norm, shape, classes):
        super().__init__()
        depth, widening = numbers
        self.act = act
        self.stem = nn.Conv2d(shape[0], 16, 3, padding=1)
        self.stages = nn.ModuleList()
        channels = 16
        for stage in range(3):
            blocks = nn.ModuleList()
            for index in range((depth - 4) // 6):
                outputs = 16 * 2**stage * widening
                stride = 2 if stage > 0 and index == 0 else 1
                blocks.append(Block(channels, outputs, stride, act, norm))
                channels = outputs
            self.stages.append(blocks)
        self.norm = make_norm(norm, channels, True)
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        x = self.stem(x)
        for block in itertools.chain(*self.stages):
            x = block(x)
        return self.head(self.act(self.norm(x), inplace=True).mean(dim=(2, 3)))


def split_arch(arch):
    """"wrn-10-2:act=silu" -> ("wrn", [10, 2], {"act": "silu", "norm": "none"})."""
    layers, _, given = arch.partition(":")
    family, *numbers = layers.split("-")
    options = {"act": "lrelu", "norm": "none"}
    options.update(option.split("=") for option in given.split(",") if given)
    return family, [int(number) for number in numbers], options


def make_twin(arch, shape, classes, watch=lambda act, x: None):
    """The network with PyTorch's own initial parameters, float32.

    Args:
        shape: (C, H, W) of one input.
        watch: Called with the name of the activation and what enters it.
    """
    family, numbers, options = split_arch(arch)
    name, norm = options["act"], options["norm"]

    def act(x, inplace=False):
        watch(name, x)
        return ACTIVATIONS[name](x, inplace=inplace)

    twin = {"mlp": Mlp, "cnn": Cnn, "wrn": Wrn}[family](numbers, act, norm, shape, classes)
    for module in list(twin.modules()):
        if norm == "spectral" and isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.utils.spectral_norm(module)
    return twin


def free_energy(logits):
    """E(x)."""
    return -logits.logsumexp(dim=1)
