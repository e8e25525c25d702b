"""Draw the second stages: python -m scripts.figures.second_stages.

Writes docs/methods/NAME.svg. What a method adds to Mask R-CNN is orange.
"""

from __future__ import annotations

from scripts.figures.contract import BLUE, GREY, INK, ORANGE, Picture
from scripts.figures.diagrams import arrow, block, label, shades
from scripts.figures.methods import OUT
from scripts.figures.points import figure as pointrend

# A soft mask of an ellipse, 7 x 7, for the drawings of masks and heat maps.
SOFT = [[max(0.0, 1 - ((i - 3) / 3.2) ** 2 - ((j - 3) / 2.4) ** 2) for j in range(7)]
        for i in range(7)]  # fmt: skip
PEAK = [[max(0.0, 1 - 0.3 * ((i - 2) ** 2 + (j - 4) ** 2)) for j in range(7)] for i in range(7)]


def two_stages() -> Picture:
    """Mask R-CNN, the basis of the others."""
    picture = Picture(860, 250)
    label(picture, 40, 60, "image")
    arrow(picture, (62, 60), (84, 60))
    block(picture, 84, 60, 110, "backbone and\npyramid")
    arrow(picture, (194, 60), (224, 60))
    block(picture, 224, 60, 100, "proposal\nnetwork")
    arrow(picture, (324, 60), (424, 60))
    label(picture, 372, 46, "proposals", colour=BLUE)
    block(picture, 424, 60, 96, "RoIAlign\n7 x 7")
    arrow(picture, (520, 60), (546, 60))
    block(picture, 546, 60, 96, "box head")
    arrow(picture, (642, 60), (672, 60))
    label(picture, 678, 60, "class and score,\nrefined box", colour=BLUE, anchor="start")
    picture.line((139, 82), (139, 122), (472, 122), stroke=GREY, stroke_width="1.5")
    label(picture, 300, 110, "maps of strides 4 to 32 (P2 to P5)", colour=BLUE)
    arrow(picture, (472, 122), (472, 82))
    arrow(picture, (472, 122), (472, 158))
    block(picture, 424, 180, 96, "RoIAlign\n14 x 14")
    arrow(picture, (730, 84), (730, 228), (472, 228), (472, 202))
    label(picture, 600, 216, "final boxes", colour=BLUE)
    arrow(picture, (520, 180), (546, 180))
    block(picture, 546, 180, 96, "mask head")
    arrow(picture, (642, 180), (662, 180))
    shades(picture, 666, 155, 50, SOFT)
    label(picture, 744, 180, "28 x 28 cells\nin the box", colour=BLUE, anchor="start")
    return picture


def keypoint() -> Picture:
    """A heat map for each keypoint in place of the mask head."""
    picture = Picture(860, 170)
    label(picture, 66, 80, "features of a\nperson's box,\n14 x 14", colour=BLUE)
    arrow(picture, (118, 80), (146, 80))
    block(picture, 146, 80, 130, "8 convolutions", colour=ORANGE)
    arrow(picture, (276, 80), (300, 80))
    block(picture, 300, 80, 130, "upsampling,\ntwice", colour=ORANGE)
    arrow(picture, (430, 80), (456, 80))
    for number in range(3):
        shades(picture, 480 - 10 * number, 40 + 10 * number, 70, PEAK)
    label(picture, 505, 150, "56 x 56 cells for each of 17", colour=BLUE)
    arrow(picture, (562, 80), (650, 80))
    label(picture, 606, 56, "largest\nvalue", colour=BLUE)
    picture.box(664, 22, 70, 124, stroke=BLUE, stroke_dasharray="4 3")
    joints = {
        "head": (699, 38), "neck": (699, 54), "hand": (674, 84), "other": (724, 66),
        "hip": (699, 92), "foot": (682, 138), "second": (716, 138),
    }  # fmt: skip
    for a, b in (("head", "neck"), ("neck", "hand"), ("neck", "other"), ("neck", "hip"),
                 ("hip", "foot"), ("hip", "second")):  # fmt: skip
        picture.line(joints[a], joints[b], stroke=INK, stroke_width="2")
    for x, y in joints.values():
        picture.dot(x, y, 4, fill=ORANGE, stroke=ORANGE)
    label(picture, 746, 80, "x, y and score\nof each keypoint", colour=BLUE, anchor="start")
    return picture


def cascade() -> Picture:
    """Three box heads, each on the boxes of the one before."""
    picture = Picture(860, 250)
    label(picture, 50, 60, "proposals", colour=BLUE)
    x = 86.0
    for number, least in enumerate((0.5, 0.6, 0.7)):
        arrow(picture, (x, 60), (x + 30, 60))
        block(picture, x + 30, 60, 112, f"box head {number + 1}\nIoU at least {least}",
              colour=ORANGE if number else INK)  # fmt: skip
        _fitted(picture, x + 86, 160, 16 - 7 * number)
        x += 142
        if number < 2:
            label(picture, x + 40, 46, "boxes", colour=BLUE)
            picture.line((x, 60), (x + 50, 60), stroke=GREY, stroke_width="1.5")
            x += 50
    arrow(picture, (x, 60), (x + 30, 60))
    label(picture, x + 36, 60, "scores: the mean\nof all three;\nboxes: the last", colour=BLUE,
          anchor="start")  # fmt: skip
    arrow(picture, (x + 80, 92), (x + 80, 138))
    block(picture, x + 30, 160, 100, "mask head")
    arrow(picture, (x + 80, 182), (x + 80, 206))
    label(picture, x + 80, 220, "masks in the\nfinal boxes", colour=BLUE)
    label(picture, 330, 235, "What counts as an object in training: a box that overlaps it by at "
          "least this IoU.", colour=GREY)  # fmt: skip
    return picture


def _fitted(picture: Picture, x: float, y: float, slack: float) -> None:
    """An object, and a box that misses its sides by so many px."""
    picture.ellipse(x, y, 34, 38, fill="#cfe3f2", stroke="none")
    picture.box(x - 34 + slack, y - 38 - slack * 0.6, 68, 76 + slack * 0.3, stroke=ORANGE,
                stroke_width="2", stroke_dasharray="5 3")  # fmt: skip


def htc() -> Picture:
    """Boxes and masks in turns, and the semantic branch."""
    picture = Picture(860, 336)
    block(picture, 20, 40, 150, "semantic branch:\nmap of stride 8", colour=ORANGE)
    picture.line((170, 40), (700, 40), stroke=ORANGE, stroke_width="1.5")
    label(picture, 690, 26, "added to the features of every region", colour=ORANGE, anchor="end")
    label(picture, 50, 140, "proposals", colour=BLUE)
    for number in range(3):
        x = 120 + 250 * number
        start = 88 if not number else x - 140
        arrow(picture, (start, 140), (x, 140))
        block(picture, x, 140, 110, f"box head {number + 1}", colour=ORANGE if number else INK)
        if number < 2:
            label(picture, x + 180, 126, "refined boxes", colour=BLUE)
        arrow(picture, (x + 55, 40), (x + 55, 118), colour=ORANGE)
        arrow(picture, (x + 80, 162), (x + 80, 208))
        block(picture, x + 25, 230, 110, f"mask head {number + 1}",
              colour=ORANGE if number else INK)  # fmt: skip
        arrow(picture, (x + 80, 252), (x + 80, 276))
        label(picture, x + 80, 286, f"mask {number + 1}", colour=BLUE)
        if number < 2:
            arrow(picture, (x + 135, 230), (x + 275, 230), colour=ORANGE)
            label(picture, x + 205, 216, "features", colour=ORANGE)
    label(picture, 430, 320, "At test time, all three mask heads see the final boxes, and their "
          "masks are averaged.", colour=GREY)  # fmt: skip
    return picture


def maskscoring() -> Picture:
    """A head that rates the masks."""
    picture = Picture(860, 190)
    label(picture, 70, 60, "features of\nthe final box,\n14 x 14", colour=BLUE)
    arrow(picture, (124, 60), (154, 60))
    block(picture, 154, 60, 90, "mask head")
    arrow(picture, (244, 60), (270, 60))
    shades(picture, 274, 30, 60, SOFT)
    label(picture, 304, 14, "mask, 28 x 28", colour=BLUE)
    arrow(picture, (334, 60), (366, 60))
    block(picture, 366, 60, 100, "max-pooling\nto 14 x 14", colour=ORANGE)
    arrow(picture, (466, 60), (506, 60), (506, 118))
    picture.line((70, 90), (70, 140), stroke=ORANGE, stroke_width="1.5")
    arrow(picture, (70, 140), (446, 140), colour=ORANGE)
    label(picture, 250, 126, "the same features", colour=ORANGE)
    block(picture, 446, 140, 120, "4 convolutions,\n3 linear layers", colour=ORANGE)
    arrow(picture, (566, 140), (594, 140))
    label(picture, 600, 140, "estimated\nIoU, 0.8", colour=ORANGE, anchor="start")
    label(picture, 600, 60, "class score, 0.9", colour=BLUE, anchor="start")
    label(picture, 688, 140, "x 0.9  =", anchor="start")
    label(picture, 752, 140, "mask score,\n0.72", colour=ORANGE, anchor="start")
    arrow(picture, (706, 70), (706, 124))
    return picture


def panet() -> Picture:
    """The second path, pooling from all levels, and the fully connected path."""
    picture = Picture(860, 310)
    for number in range(4):
        y, w = 250 - 64 * number, 90 - 16 * number
        block(picture, 65 - w / 2, y, w, f"P{number + 2}", h=32)
        block(picture, 195 - w / 2, y, w, f"N{number + 2}", colour=ORANGE, h=32)
        arrow(picture, (65 + w / 2, y), (195 - w / 2, y))
        if number < 3:
            arrow(picture, (65, y - 48), (65, y - 16))
            arrow(picture, (195, y - 16), (195, y - 48), colour=ORANGE)
        arrow(picture, (195 + w / 2, y), (274, y), colour=ORANGE)
        block(picture, 274, y, 110, "RoIAlign, conv.", colour=ORANGE, h=32)
        arrow(picture, (384, y), (430, 154), colour=ORANGE)
    label(picture, 65, 290, "top-down path")
    label(picture, 195, 290, "bottom-up path", colour=ORANGE)
    block(picture, 430, 154, 76, "largest\nvalue", colour=ORANGE)
    arrow(picture, (468, 132), (468, 60), (540, 60))
    block(picture, 540, 60, 110, "box head")
    arrow(picture, (650, 60), (676, 60))
    label(picture, 682, 60, "class, score, box", colour=BLUE, anchor="start")
    arrow(picture, (468, 176), (468, 200), (520, 200))
    block(picture, 520, 200, 60, "conv.")
    arrow(picture, (580, 200), (604, 164))
    block(picture, 604, 160, 104, "convolutions")
    arrow(picture, (580, 200), (604, 236), colour=ORANGE)
    block(picture, 604, 240, 104, "fully\nconnected", colour=ORANGE)
    arrow(picture, (708, 160), (744, 192))
    arrow(picture, (708, 240), (744, 208), colour=ORANGE)
    label(picture, 756, 200, "+")
    arrow(picture, (766, 200), (784, 200))
    shades(picture, 790, 172, 56, SOFT)
    label(picture, 656, 126, "a map for each class", colour=GREY)
    label(picture, 656, 278, "one map for all classes", colour=GREY)
    return picture


FIGURES = {
    "two-stages": two_stages,
    "keypoint": keypoint,
    "cascade": cascade,
    "htc": htc,
    "maskscoring": maskscoring,
    "panet": panet,
    "pointrend": pointrend,
}


def main() -> None:
    for name, draw in FIGURES.items():
        draw().save(OUT / f"{name}.svg")


if __name__ == "__main__":
    main()
