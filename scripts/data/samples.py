"""Copy the photographs that scikit-image, scikit-learn and matplotlib ship into FOLDER."""

import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

PHOTOGRAPHS = {
    "skimage": (
        "data",
        "astronaut.png camera.png chelsea.png coffee.png motorcycle_left.png rocket.jpg",
    ),
    "sklearn": ("datasets/images", "china.jpg flower.jpg"),
    "matplotlib": ("mpl-data/sample_data", "grace_hopper.jpg"),
}


def main(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for package, (inside, names) in PHOTOGRAPHS.items():
        # Found without importing: scikit-image and matplotlib would take a second.
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            sys.exit(f"samples: {package} is not installed; scripts/setup installs it")
        for name in names.split():
            shutil.copyfile(Path(spec.origin).parent / inside / name, folder / name)
    print(f"samples: {len(list(folder.iterdir()))} photographs in {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
