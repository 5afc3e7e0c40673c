"""Record weights, states and noise of short Langevin runs in PyTorch, for crates/srm-energy/src/golden_tests.rs.

    OMP_NUM_THREADS=1 python scripts/make_golden.py crates/srm-energy/fixtures

Needs torch (written with 2.11.0). Written after the published description (arXiv 1904.09770 and the net in ARCHITECTURE.md),
with autograd for f', so that it shares nothing with our closed-form derivatives. For 32 and 64 px, with fresh weights
and with those of a short training on procedural images: the state_dict, and for some steps k the state x_k, the noise u_k,
f(x_k) and x_{k+1} = x_k + f'(x_k) + 0.01 u_k. The noise is rounded to f16 before use, so that its file is small and exact.
"""

import json
import pathlib
import struct
import sys

import torch
from torch import nn

STEPS = 40
NOISE = 0.01  # std of the noise of one step, the published constant
SIGMA = 0.03  # std of the noise on data, the published constant


class F(nn.Module):
    def __init__(self, size, n, channels=3):
        super().__init__()
        layers = [nn.Conv2d(channels, n, 3, 1, 1), nn.LeakyReLU(0.2)]
        width, pixels = n, size
        while pixels > 4:
            wider = min(2 * width, 8 * n)
            layers += [nn.Conv2d(width, wider, 4, 2, 1), nn.LeakyReLU(0.2)]
            width, pixels = wider, pixels // 2
        self.f = nn.Sequential(*layers, nn.Conv2d(width, 1, 4, 1, 0))

    def forward(self, x):
        return self.f(x).reshape(-1)


def gradient(net, x):
    x = x.detach().requires_grad_(True)
    return torch.autograd.grad(net(x).sum(), x)[0]


def draw_noise(shape):
    return torch.randn(shape).half().float()


def chain(net, x, steps):
    """Yield (x_k, u_k, x_{k+1}) for k = 0, 1, ..."""
    for _ in range(steps):
        noise = draw_noise(x.shape)
        following = x + gradient(net, x) + NOISE * noise
        yield x, noise, following
        x = following


def start(count, size):
    return torch.rand(count, 3, size, size) * 2 - 1


def discs(count, size):
    """Images of one coloured disc on another colour, in [-1, 1]."""
    axis = torch.linspace(-1, 1, size)
    y, x = axis[:, None], axis[None, :]
    images = []
    for _ in range(count):
        centre, radius = torch.rand(2) - 0.5, 0.3 + 0.4 * torch.rand(1)
        inside = torch.sigmoid(((radius**2 - (y - centre[0]) ** 2 - (x - centre[1]) ** 2)) * 20)
        colours = torch.rand(2, 3, 1, 1) * 1.6 - 0.8
        images.append(colours[0] * inside + colours[1] * (1 - inside))
    return torch.stack(images)


def train(net, size, updates):
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    for update in range(updates):
        data = discs(8, size)
        data = data + SIGMA * torch.randn_like(data)
        *_, (_, _, samples) = chain(net, start(8, size), STEPS)
        gap = net(data).mean() - net(samples.detach()).mean()
        optimizer.zero_grad()
        (-gap).backward()
        optimizer.step()
    return gap.item()


def record(net, size, count, kept):
    tensors = {name: t.detach().clone() for name, t in net.state_dict().items()}
    for k, (x, noise, following) in enumerate(chain(net, start(count, size), STEPS)):
        if k in kept:
            tensors |= {f"x.{k}": x, f"noise.{k}": noise.half(), f"next.{k}": following}
            tensors[f"value.{k}"] = net(x).detach()
            move = (following - x - NOISE * noise).abs().max().item()
            print(f"  k {k:2d}: f {tensors[f'value.{k}'].tolist()}, largest |f'| {move:.3g}, std x {x.std():.3f}")
    return tensors


def save_safetensors(path, tensors):
    """The format in a few lines: length of the header, header as JSON, the bytes."""
    header, chunks, at = {}, [], 0
    for name, tensor in tensors.items():
        kind = {torch.float32: "F32", torch.float16: "F16"}[tensor.dtype]
        chunk = tensor.contiguous().numpy().astype("<f4" if kind == "F32" else "<f2").tobytes()
        header[name] = {"dtype": kind, "shape": list(tensor.shape), "data_offsets": [at, at + len(chunk)]}
        chunks.append(chunk)
        at += len(chunk)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(chunks))


def main(folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for size, n, count, kept in [(32, 4, 2, (0, 10, 39)), (64, 4, 1, (0, 39))]:
        torch.manual_seed(size)
        net = F(size, n)
        for name, updates in [("fresh", 0), ("trained", 60)]:
            if updates:
                print(f"{size} px: energy gap after {updates} updates {train(net, size, updates):.4f}")
            path = folder / f"golden_{size}_{name}.safetensors"
            save_safetensors(path, record(net, size, count, kept))
            print(f"{path.name}: {path.stat().st_size // 1024} KiB")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    torch.set_num_threads(1)
    main(sys.argv[1])
