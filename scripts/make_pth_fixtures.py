"""Write small PyTorch state_dict files, as crates/srm-energy/src/pth/tests.rs reads them, and the values they hold.

    python scripts/make_pth_fixtures.py crates/srm-energy/fixtures/pth

Needs torch (written with 2.11.0) and nothing else. Every file holds the same five-layer net of one feature at 32 px whose
values are exact in f16 and bf16, so that every reader must return them bit for bit.
"""

import collections
import pathlib
import sys

import torch
from torch import nn


class F(nn.Module):
    """The published class: its Sequential is the attribute f."""

    def __init__(self, n=1, channels=1):
        super().__init__()
        self.f = nn.Sequential(
            nn.Conv2d(channels, n, 3, 1, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(n, 2 * n, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(2 * n, 4 * n, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(4 * n, 8 * n, 4, 2, 1), nn.LeakyReLU(0.2),
            nn.Conv2d(8 * n, 1, 4, 1, 0),
        )


def values(start, shape):
    """(start + i) mod 97 / 64 - 3/4 for element i in row-major order: at most 7 significant bits."""
    count = torch.Size(shape).numel()
    return (((start + torch.arange(count)) % 97) / 64 - 0.75).reshape(shape)


def fill(net):
    state = net.state_dict()
    for number, tensor in enumerate(state.values()):
        tensor.copy_(values(number, tensor.shape))
    return state


def converted(state, change):
    return collections.OrderedDict((name, change(tensor)) for name, tensor in state.items())


def strided(tensor):
    """The same values, every second element of a larger storage with its axes reversed, after an offset of 3."""
    axes = tuple(reversed(range(tensor.dim())))
    reverse = tensor.permute(axes)
    storage = torch.zeros(3 + 2 * tensor.numel())
    view = storage.as_strided(reverse.shape, [2 * step for step in reverse.contiguous().stride()], 3)
    view.copy_(reverse)
    return view.permute(axes)


def shared(state):
    """All tensors in one storage."""
    storage = torch.cat([tensor.reshape(-1) for tensor in state.values()])
    at, out = 0, collections.OrderedDict()
    for name, tensor in state.items():
        out[name] = storage[at : at + tensor.numel()].reshape(tensor.shape)
        at += tensor.numel()
    return out


class Stranger:
    """A class that a reader without code execution must pass over."""


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(1)
    net = F()
    state = fill(net)
    optimizer = torch.optim.Adam(net.parameters())
    net.f(torch.zeros(1, 1, 32, 32)).sum().backward()
    optimizer.step()
    fill(net)
    contents = {
        "plain": state,
        "nested": {"epoch": 3, "loss": 0.5, "model": state},
        "optimizer": {"net": state, "optimizer": optimizer.state_dict()},
        "parameters": dict(net.named_parameters()),
        "module": collections.OrderedDict((f"module.{name}", t) for name, t in state.items()),
        "sequential": net.f.state_dict(),
        "f16": converted(state, torch.Tensor.half),
        "bf16": converted(state, torch.Tensor.bfloat16),
        "f64": converted(state, torch.Tensor.double),
        "strided": converted(state, strided),
        "shared": shared(state),
        "integers": converted(state, torch.Tensor.long),
        # what a net with batch normalisation adds: an integer that is no weight
        "counter": collections.OrderedDict([*state.items(), ("norm.num_batches_tracked", torch.tensor(7))]),
        "two": {"model": state, "ema": converted(state, torch.clone)},
        "stranger": {"model": state, "options": Stranger()},
    }
    for name, content in contents.items():
        torch.save(content, folder / f"{name}.pth")
        torch.save(content, folder / f"{name}.legacy.pth", _use_new_zipfile_serialization=False)
    torch.save(state, folder / "protocol4.pth", pickle_protocol=4)
    torch.save(state, folder / "protocol4.legacy.pth", pickle_protocol=4, _use_new_zipfile_serialization=False)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
