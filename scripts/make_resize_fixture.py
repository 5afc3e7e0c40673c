"""Make crates/srm-data/tests/pillow: a drawn picture and what Pillow makes of it by crop and antialiased resize.

Run from the repository root with Pillow and numpy: python3 scripts/make_resize_fixture.py
Written with Pillow 13.0.0 (libjpeg-turbo 3.2.0). Names: CROP_SIZE_FILTER_SOURCE[_grey].png
"""

from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

FOLDER = Path("crates/srm-data/tests/pillow")
CROPS = {"center178": (0, 20, 178, 198), "center140": (19, 39, 159, 179), "box": (15, 40, 163, 188)}
CASES = [
    ("center178", 64, "bilinear", "png", "RGB"),
    ("center178", 32, "lanczos", "png", "RGB"),
    ("center140", 32, "box", "png", "RGB"),
    ("center140", 48, "hamming", "png", "RGB"),
    ("box", 48, "bicubic", "png", "RGB"),
    ("box", 64, "bilinear", "png", "L"),
    ("box", 160, "bicubic", "png", "L"),  # larger than the crop's 148
    ("center178", 64, "bilinear", "jpg", "RGB"),
]


def draw() -> Image.Image:
    """A picture of CelebA's size with slow ramps, fine stripes, sharp edges and rings."""
    y, x = np.mgrid[0:218, 0:178]
    rings = 96 + 80 * np.sin(((x - 60) ** 2 + (y - 130) ** 2) / 300)
    pixels = np.stack([x * 255 / 177, rings, 255 - y * 255 / 217], axis=-1)
    pixels[40:90, 100:170] = np.where((x + y)[40:90, 100:170, None] % 6 < 3, 240, 20)
    picture = Image.fromarray(pixels.round().clip(0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(picture)
    pen.ellipse((20, 50, 90, 120), fill=(230, 180, 150), outline=(40, 20, 10), width=3)
    pen.line((0, 217, 177, 0), fill=(255, 255, 255))
    pen.rectangle((110, 140, 150, 190), fill=(0, 90, 200))
    return picture


def main() -> None:
    FOLDER.mkdir(parents=True, exist_ok=True)
    draw().save(FOLDER / "source.png", optimize=True)
    draw().save(FOLDER / "source.jpg", quality=90)
    for crop, size, name, source, mode in CASES:
        picture = Image.open(FOLDER / f"source.{source}").convert(mode).crop(CROPS[crop])
        resized = picture.resize((size, size), getattr(Image.Resampling, name.upper()))
        grey = "_grey" if mode == "L" else ""
        resized.save(FOLDER / f"{crop}_{size}_{name}_{source}{grey}.png", optimize=True)


if __name__ == "__main__":
    main()
