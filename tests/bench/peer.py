#!/usr/bin/python3
"""The peer: what `jem bench` measures, in PyTorch. Same options, counts and keys of the JSON.

Eager PyTorch as a careful user writes it: activations in place where autograd allows, in chains no
gradient but that of the input, the Langevin update in place with one buffer for the noise.
"""

import pathlib
import re
import sys

try:
    import torch
    from torch.nn import functional
except ImportError:
    sys.exit("peer.py needs PyTorch: apt install python3-torch libopenblas0-openmp")

from peers import HIGH, LOW, measure, parse_shape, parser, peak_rss_mb, report

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from twins import free_energy, make_twin

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}

# What `jem bench` leaves at libjem's defaults or sets.
STEP_SIZE, NOISE_STD, GRAD_CLAMP, REINIT_PROB = 1.0, 0.01, 1.0, 0.05
ENERGY_L2, INPUT_NOISE, LEARNING_RATE = 0.1, 0.03, 1e-4


def uniform_rows(n, shape, layout):
    return torch.empty(n, *shape).uniform_(LOW, HIGH).contiguous(memory_format=layout)


def energy_grad(net, x):
    """dE/dx of each row."""
    x.requires_grad_()
    grad, = torch.autograd.grad(free_energy(net(x)).sum(), x)
    x.requires_grad_(False)
    return grad


class Chains:
    """Langevin chains; the replay buffer is as large as a batch, as in `jem bench`."""

    def __init__(self, net, buffer):
        self.net = net
        self.buffer = buffer
        self.noise = torch.empty_like(buffer)

    def step(self, x):
        """x <- clamp(x - step_size * clamp(dE/dx) + noise_std * N(0, I)), in place."""
        grad = energy_grad(self.net, x)
        x.sub_(grad.clamp_(-GRAD_CLAMP, GRAD_CLAMP), alpha=STEP_SIZE)
        x.add_(self.noise.normal_(), alpha=NOISE_STD).clamp_(LOW, HIGH)

    def draw(self, steps):
        """All chains in random order, some of them restarted, run and stored back."""
        slots = torch.randperm(len(self.buffer))
        x = self.buffer[slots]
        restart = torch.rand(len(x)) < REINIT_PROB
        x[restart] = torch.empty_like(x[restart]).uniform_(LOW, HIGH)
        self.net.requires_grad_(False)
        for _ in range(steps):
            self.step(x)
        self.net.requires_grad_(True)
        self.buffer[slots] = x
        return x


class Trainer:
    """The loss of jem_train_step() on three batches, and Adam."""

    def __init__(self, net, chains, x_labelled, y_labelled, x_data):
        self.net = net.requires_grad_(True)
        self.chains = chains
        self.rows = x_labelled, x_data
        self.y = y_labelled
        self.optimizer = torch.optim.Adam(net.parameters(), LEARNING_RATE)

    def loss(self, x_labelled, x_data, x_samples):
        """One pass over all rows: a little faster than three."""
        rows = x_labelled, x_data, x_samples
        f_labelled, f_data, f_samples = self.net(torch.cat(rows)).split([len(x) for x in rows])
        e_data, e_samples = free_energy(f_data), free_energy(f_samples)
        return (e_data.mean() - e_samples.mean()
                + functional.cross_entropy(f_labelled, self.y)
                + ENERGY_L2 * ((e_data**2).mean() + (e_samples**2).mean()))

    def step(self, sgld_steps):
        samples = self.chains.draw(sgld_steps)
        noisy = [x + INPUT_NOISE * torch.randn_like(x) for x in self.rows]
        self.optimizer.zero_grad(set_to_none=True)
        self.loss(*noisy, samples).backward()
        self.optimizer.step()


def make_operation(args):
    """A function without arguments that does once what is measured."""
    layout = LAYOUTS[args.layout]
    shape = parse_shape(args.shape)
    net = make_twin(args.arch, shape, args.classes).requires_grad_(False)
    net = net.to(memory_format=layout)
    x = uniform_rows(args.batch, shape, layout)
    if args.op == "logits":
        return torch.inference_mode()(lambda: net(x))
    if args.op == "grad":
        return lambda: energy_grad(net, x)
    chains = Chains(net, x)
    if args.op == "sgld":
        return lambda: chains.step(x)
    y = torch.arange(args.batch) % args.classes
    labelled, data = (uniform_rows(args.batch, shape, layout) for _ in range(2))
    trainer = Trainer(net, chains, labelled, y, data)
    return lambda: trainer.step(args.sgld_steps)


def onednn():
    """The version that PyTorch's convolutions call."""
    return re.search(r"MKL-DNN v(\S+)|$", torch.__config__.show())[1] or "none"


def blas():
    """The library that PyTorch's linear layers call."""
    libraries = re.findall(r"/\S*/(lib\S*blas\S*|libmkl_rt\S*)",
                           pathlib.Path("/proc/self/maps").read_text())
    return max(libraries, key=lambda name: "open" in name or "mkl" in name, default="built in")


def instruction_set():
    """The newest that PyTorch's own kernels use here."""
    return re.search(r"CPU capability usage: (\S+)|$", torch.__config__.show())[1] or "unknown"


def parse_args():
    made = parser(__doc__)
    made.add_argument("--layout", choices=LAYOUTS, default="contiguous")
    return made.parse_args()


def main():
    args = parse_args()
    torch.set_num_threads(args.threads)
    torch.manual_seed(1)
    import_rss_mb = peak_rss_mb()
    times = measure(make_operation(args), args.runs, args.beside)
    report(args, times, layout=args.layout, import_rss_mb=import_rss_mb, torch=torch.__version__,
           onednn=onednn(), blas=blas(), isa=instruction_set())


if __name__ == "__main__":
    main()
