"""Train a short-run EBM with a plain, untuned PyTorch loop: the yardstick for `srm train` on the same images and minutes.

    OMP_NUM_THREADS=2 python scripts/published_loop.py --images faces_32.npy --n 16 --m 16 --K 40 --lr 5e-4 --flips \
        --updates 500 --out runs/published

Own words after the published description (arXiv 1904.09770, Algorithm 1, and the constants of enijkamp/short_run): the
tempered step x + f'(x) + 0.01 u, autograd for f', start uniform on [-1, 1], data noise 0.03, ADAM (0.9, 0.999). Needs
torch, numpy and Pillow; images are u8 .npy [n, h, w, c] of 32, 64 or 128 px.

    python scripts/published_loop.py --time --size 32 --n 16 --m 64 --K 10

prints the milliseconds of one Langevin step, the median of three runs of K steps after one that warms up, as JSON:
what `cargo xtask bench --peer` compares its baseline with.
"""

import argparse
import json
import pathlib
import statistics
import time

import numpy as np
import torch
from PIL import Image
from torch import nn


class F(nn.Module):
    def __init__(self, size, channels, n):
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


def short_run(net, x, steps):
    for _ in range(steps):
        x = x.detach().requires_grad_(True)
        grad = torch.autograd.grad(net(x).sum(), x, retain_graph=True)[0]
        x = x.detach() + grad + 0.01 * torch.randn_like(x)
    return x


def save_grid(x, path, padding=2):
    """Up to 64 images in rows of 8."""
    x = ((x.clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    size, channels = x.shape[1], x.shape[3]
    step = size + padding
    grid = np.zeros((padding + -(-len(x) // 8) * step, padding + 8 * step, channels), np.uint8)
    for i, image in enumerate(x):
        top, left = padding + i // 8 * step, padding + i % 8 * step
        grid[top : top + size, left : left + size] = image
    Image.fromarray(grid.squeeze()).save(path)


def time_steps(size, n, m, steps, device, compiled):
    """Milliseconds a step."""
    net = F(size, 3, n).to(device)
    net = torch.compile(net) if compiled else net
    z = torch.rand(m, 3, size, size, device=device) * 2 - 1
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        short_run(net, z, steps)
        if device != "cpu":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return 1e3 * statistics.median(seconds[1:]) / steps


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--images")
    p.add_argument("--out", type=pathlib.Path)
    p.add_argument("--time", action="store_true", help="time Langevin steps instead of training")
    p.add_argument("--size", type=int, default=32, help="pixels, for --time")
    p.add_argument("--device", default="cpu", help="for --time")
    p.add_argument("--tf32", action="store_true", help="allow TF32 in convolutions, for --time on a GPU")
    p.add_argument("--compile", action="store_true", help="by torch.compile, for --time")
    p.add_argument("--n", type=int, default=64, help="features of the first layer")
    p.add_argument("--m", type=int, default=64, help="images and chains per update")
    p.add_argument("--K", type=int, default=100, help="Langevin steps")
    p.add_argument("--lr", type=float, default=1e-4)
    p.add_argument("--flips", action="store_true", help="mirror every second image at random")
    p.add_argument("--updates", type=int, default=1000)
    p.add_argument("--every", type=int, default=250, help="updates between grids and state_dicts")
    p.add_argument("--seed", type=int, default=1)
    a = p.parse_args()
    torch.manual_seed(a.seed)
    if a.time:
        torch.backends.cudnn.allow_tf32 = a.tf32
        torch.backends.cudnn.benchmark = True
        print(json.dumps({"ms": time_steps(a.size, a.n, a.m, a.K, a.device, a.compile), "torch": torch.__version__}))
        return
    if not a.images or not a.out:
        p.error("--images and --out are needed to train")
    images = np.load(a.images, mmap_mode="r")
    _, size, _, channels = images.shape
    net = F(size, channels, a.n)
    adam = torch.optim.Adam(net.parameters(), lr=a.lr, betas=(0.9, 0.999))
    a.out.mkdir(parents=True, exist_ok=True)
    began = time.time()
    for update in range(1, a.updates + 1):
        picked = np.array(images[torch.randint(len(images), (a.m,)).numpy()])
        data = torch.from_numpy(picked).permute(0, 3, 1, 2).float() / 127.5 - 1
        if a.flips:
            data = torch.where(torch.rand(a.m, 1, 1, 1) < 0.5, data.flip(3), data)
        data = data + 0.03 * torch.randn_like(data)
        samples = short_run(net, torch.rand_like(data) * 2 - 1, a.K)
        gap = net(data).mean() - net(samples).mean()
        adam.zero_grad()
        (-gap).backward()
        adam.step()
        if update % 50 == 0 or update == a.updates:
            print(f"{update:6d}  gap {gap.item():9.3f}  std {samples.std():.3f}  {time.time() - began:6.0f} s", flush=True)
        if update % a.every == 0 or update == a.updates:
            save_grid(short_run(net, torch.rand(64, channels, size, size) * 2 - 1, a.K), a.out / f"samples_{update:06d}.png")
            torch.save(net.state_dict(), a.out / f"weights_{update:06d}.pth")


if __name__ == "__main__":
    main()
