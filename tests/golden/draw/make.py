"""Makes the pictures of this folder anew: python tests/golden/draw/make.py; look at them after."""

import runpy
from pathlib import Path

from PIL import Image

from segcli.viz import Style, draw

HERE = Path(__file__).resolve().parent


def main() -> None:
    painted = runpy.run_path(str(HERE.parent.parent / "draw/conftest.py"))["Painted"]
    styles = {
        "overlay": Style(),
        "outline": Style(mode="outline"),
        "blur": Style(mode="blur"),
        "half": Style(max_side=80),
    }
    for name, style in styles.items():
        shown = draw(painted.background(), painted.scene(), style, image_size=(120, 160))
        Image.fromarray(shown).save(HERE / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
