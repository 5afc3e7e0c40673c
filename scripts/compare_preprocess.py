"""Compare an image set with what Pillow makes of the same photos: mean and largest difference in grey levels.

python3 scripts/compare_preprocess.py PHOTOS.zip SET.npy X0,Y0,X1,Y1 FILTER   (needs Pillow and numpy)
The set was made without --split and --skip-bad. Photos are taken by name.
"""

import io
import sys
import zipfile

import numpy as np
from PIL import Image


def main() -> None:
    archive, images, box, name = sys.argv[1:]
    ours = np.load(images, mmap_mode="r")
    box = tuple(int(number) for number in box.split(","))
    with zipfile.ZipFile(archive) as photos:
        names = sorted(entry for entry in photos.namelist() if entry.endswith((".jpg", ".png")))[: len(ours)]
        means, largest = [], 0
        for row, entry in zip(ours, names, strict=True):
            picture = Image.open(io.BytesIO(photos.read(entry))).convert("RGB").crop(box)
            theirs = np.asarray(picture.resize(row.shape[:2][::-1], getattr(Image.Resampling, name.upper())))
            difference = np.abs(theirs.astype(int) - row)
            means.append(difference.mean())
            largest = max(largest, difference.max())
    print(f"{len(means)} photos, {name}: mean {np.mean(means):.4f}, worst photo {max(means):.4f}, worst pixel {largest}")


if __name__ == "__main__":
    main()
