#!/usr/bin/python3
"""Writes a twin as an ONNX file, for peer_onnx.py: onnx_twin.py ARCH CxHxW CLASSES ROWS FILE."""

import pathlib
import sys

import torch

from peers import parse_shape

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from twins import make_twin


def export(net, shape, rows, path):
    """The number of rows is fixed, so that ONNX Runtime may plan for it. The older of PyTorch's
    exporters is asked for: the newer one needs a package (onnxscript) that Debian does not have."""
    torch.onnx.export(net.eval(), torch.zeros(rows, *shape), path, dynamo=False,
                      input_names=["x"], output_names=["logits"])


def main():
    arch, shape, classes, rows, path = sys.argv[1:]
    shape = parse_shape(shape)
    torch.manual_seed(1)
    export(make_twin(arch, shape, int(classes)), shape, int(rows), path)


if __name__ == "__main__":
    main()
