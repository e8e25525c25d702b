"""Real photographs as JPEGs of one size, made from those that installed packages ship."""

import tempfile
from pathlib import Path

from PIL import Image

from scripts.data.samples import main as copy_samples


def photographs(folder: Path, size: tuple[int, int], count: int) -> list[Path]:
    """`count` files of `size` (width, height) px in a new `folder`; from the tenth on, mirrored."""
    folder.mkdir(parents=True)
    with tempfile.TemporaryDirectory() as name:
        copy_samples(Path(name, "originals"))
        originals = sorted(Path(name, "originals").iterdir())
        paths = [folder / f"{index:02}.jpg" for index in range(count)]
        for index, path in enumerate(paths):
            image = Image.open(originals[index % len(originals)]).convert("RGB")
            if index >= len(originals):
                image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            image.resize(size).save(path, quality=90)
    return paths
