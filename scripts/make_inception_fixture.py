"""Record the output of every block of pytorch-fid's Inception, for crates/srm-eval/src/inception/tests.rs.

    pip install torch==2.11.0 torchvision==0.26.0 pytorch-fid==0.3.0 numpy safetensors
    OMP_NUM_THREADS=2 python scripts/make_inception_fixture.py crates/srm-eval/fixtures/inception.safetensors

Nothing is downloaded: where pytorch-fid would fetch its 90 MB of weights, it is given weights made by an integer hash
of (tensor name, element), and the images are made so too. The Rust test spells the same hash, so that the file holds
only the shapes of the convolutions and, of each block's output, some values, the largest magnitude and the std.
"""

import pathlib
import sys

import numpy as np
import torch
import torchvision
from pytorch_fid import inception
from safetensors.numpy import save

IMAGES = (2, 3, 48, 64)  # not square: a swap of height and width must show
LARGE = (2, 3, 320, 400)  # where an antialiased resize would differ
SAMPLES = 400  # of each block
NAMED = [f"Conv2d_{name}" for name in "1a_3x3 2a_3x3 2b_3x3 3b_1x1 4a_3x3".split()]
NAMED += [f"Mixed_{name}" for name in "5b 5c 5d 6a 6b 6c 6d 6e 7a 7b 7c".split()]
RANGES = {
    "bn.weight": (0.75, 1.25),
    "bn.bias": (-0.5, 0.25),
    "bn.running_mean": (-0.25, 0.25),
    "bn.running_var": (0.125, 0.375),
    "fc.bias": (-1.0, 1.0),
}


def hashed(name, count):
    """64 bits for each of the elements 0, 1, ...: FNV-1a of the name, then the finaliser of SplitMix64."""
    seed = 0xCBF29CE484222325
    for byte in name.encode():
        seed = ((seed ^ byte) * 0x100000001B3) % 2**64
    with np.errstate(over="ignore"):
        h = np.uint64(seed) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        h = (h ^ (h >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        h = (h ^ (h >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return h ^ (h >> np.uint64(31))


def values(name, shape):
    """Weights in f32. Every operation is exact or correctly rounded, hence the same in any language.

    The variances are small enough for the eps of batch norm to count. The biases lean to the negative, so that images
    and the places within them stay apart through all layers of ReLU.
    """
    kind = name if name.startswith("fc.") else ".".join(name.split(".")[-2:])
    if kind in RANGES:
        low, high = RANGES[kind]
    else:  # the sum over a kernel's inputs gets about the variance that batch norm expects
        high = (1.5 / np.prod(shape[1:], dtype=np.float64)) ** 0.5
        low = -high
    unit = (hashed(name, int(np.prod(shape))) >> np.uint64(40)).astype(np.float64) / 2**24  # [0, 1)
    return torch.from_numpy((low + (high - low) * unit).astype(np.float32).reshape(shape))


def grey_levels(name, shape):
    """Two images that differ in kind: a level for each pixel, and one for 8 pixels of a row."""
    levels = (hashed(name, int(np.prod(shape))) >> np.uint64(56)).astype(np.float32).reshape(shape)
    levels[1] = levels[1, :, :, ::8].repeat(8, axis=-1)
    return torch.from_numpy(levels)


def networks():
    """pytorch-fid's network with its classifier, its wrapper that resizes and ends at pool3, and their weights."""
    blank = torchvision.models.inception_v3(num_classes=1008, aux_logits=False, init_weights=False).state_dict()
    counters = {name: tensor for name, tensor in blank.items() if name.endswith("num_batches_tracked")}
    weights = {name: values(name, tuple(tensor.shape)) for name, tensor in blank.items() if name not in counters}
    inception.load_state_dict_from_url = lambda *_, **__: weights | counters
    network = inception.fid_inception_v3()
    inception.fid_inception_v3 = lambda: network
    return network.eval(), inception.InceptionV3([3]).eval(), weights


def watch(network, wrapper):
    """A dict that holds the output of every block of the latest pass under the block's name."""
    outputs = {}

    def keep(name, module):
        module.register_forward_hook(lambda _, __, output: outputs.update({name: output.clone()}))

    network.Conv2d_1a_3x3.register_forward_pre_hook(lambda _, inputs: outputs.update(input=inputs[0].clone()))
    for name in NAMED:
        keep(name, getattr(network, name))
    keep("maxpool1", wrapper.blocks[0][3])
    keep("maxpool2", wrapper.blocks[1][2])
    return outputs


@torch.no_grad()
def outputs_of(network, wrapper):
    """The output of every block for the images, and what becomes of larger images before the first."""
    outputs = watch(network, wrapper)
    wrapper(grey_levels("large images", LARGE) / 255)
    shrunk = outputs["input"]
    features = wrapper(grey_levels("images", IMAGES) / 255)[0].flatten(1)
    return outputs | {"features": features, "logits": network.fc(features), "shrunk": shrunk}


def record(name, output):
    """The part of a block's output that goes into the file."""
    flat = output.numpy().reshape(-1)
    largest, std = np.abs(flat).max(), flat.std(dtype=np.float64)
    apart = np.abs((output[0] - output[1]).numpy()).max() / largest
    print(f"{name:14} {str(list(output.shape)):20} largest {largest:5.2f}, std {std:.3f}, images apart by {apart:.3f}")
    assert 0.1 <= std <= 10, name
    assert apart >= 0.01, f"{name}: the test, which allows 1e-4, could not tell the images apart"
    # Features and logits whole, of the larger outputs a sample.
    at = slice(None) if output.dim() == 2 else hashed(f"{name}.places", SAMPLES) % np.uint64(flat.size)
    return {f"{name}.values": flat[at], f"{name}.largest": np.float32([largest]), f"{name}.std": np.float32([std])}


def main() -> None:
    network, wrapper, weights = networks()
    outputs = outputs_of(network, wrapper)
    assert len(outputs) == len(NAMED) + 6
    tensors = {f"{name}.shape": np.float32(weights[name].shape) for name in weights if name.endswith("conv.weight")}
    for name, output in outputs.items():
        tensors |= record(name, output)
    path = pathlib.Path(sys.argv[1])
    path.write_bytes(save(tensors))
    print(f"{path}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
