"""Draw what `segcli predict` found: demo_picture.py IMAGES MASKS.parquet SHEET.jpg

One sheet with every image that has masks above the model's default score, best images first.
"""

import sys
from collections import defaultdict
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from segcli import rle, shard

COLUMNS = ("key", "category", "score", "bbox", "height", "width", "rle")
COLOURS = ("#ff4d4d", "#33ccff", "#66dd33", "#ffaa00", "#cc66ff", "#ffee33", "#00e6b8", "#ff66aa")
ROW_HEIGHT, SHEET_WIDTH = 300, 1200  # px


def main(images: Path, masks: Path, sheet: Path) -> None:
    min_score = shard.read_facts(masks)["default_score"]
    found = defaultdict(list)
    for batch in shard.read_masks(masks, columns=COLUMNS, min_score=min_score):
        for row in batch.to_pylist():
            found[row["key"]].append(row)
    if not found:
        sys.exit(f"demo: no mask has a score of {min_score} or more; nothing to draw")
    best_first = sorted(found.items(), key=lambda item: -item[1][0]["score"])
    pictures = [outlined(images / key, rows) for key, rows in best_first]
    arranged(pictures).save(sheet, quality=85)
    count = sum(len(rows) for rows in found.values())
    print(f"demo: {count} masks with a score of {min_score:.2f} or more, in {len(found)} images")
    print(f"demo: look at {sheet}; the rows are in {masks}")


def outlined(path: Path, rows: list[dict]) -> Image.Image:
    """The image with each mask tinted, outlined and named."""
    picture = Image.open(path).convert("RGB")
    for number, row in enumerate(rows):
        mask = Image.fromarray(rle.decode(row["rle"], row["height"], row["width"]))
        colour = COLOURS[number % len(COLOURS)]
        tint = Image.new("RGB", picture.size, colour)
        inside = np.asarray(mask)
        picture.paste(Image.blend(picture, tint, 0.35), mask=mask)
        picture.paste(tint, mask=Image.fromarray(edge(inside, max(1, row["height"] // 250))))
    scale = ROW_HEIGHT / picture.height
    picture = picture.resize((max(1, round(picture.width * scale)), ROW_HEIGHT))
    draw = ImageDraw.Draw(picture)
    for number, row in enumerate(rows):
        at = (row["bbox"]["x"] * scale + 3, row["bbox"]["y"] * scale + 3)
        text = f"{row['category']} {row['score']:.2f}"
        draw.rectangle(draw.textbbox(at, text), fill="black")
        draw.text(at, text, fill=COLOURS[number % len(COLOURS)])
    return picture


def edge(mask: np.ndarray, thickness: int) -> np.ndarray:
    """bool (H, W): the pixels of `mask` within `thickness` px of its border."""
    height, width = mask.shape
    padded = np.pad(mask, thickness, constant_values=True)
    inner = mask.copy()
    for down, right in ((0, 1), (2, 1), (1, 0), (1, 2)):
        top, left = down * thickness, right * thickness
        inner &= padded[top : top + height, left : left + width]
    return mask & ~inner


def arranged(pictures: list[Image.Image]) -> Image.Image:
    """The pictures side by side in rows of at most SHEET_WIDTH px."""
    rows: list[list[Image.Image]] = [[]]
    for picture in pictures:
        if rows[-1] and sum(p.width for p in rows[-1]) + picture.width > SHEET_WIDTH:
            rows.append([])
        rows[-1].append(picture)
    width = max(sum(p.width for p in row) for row in rows)
    sheet = Image.new("RGB", (width, ROW_HEIGHT * len(rows)), "white")
    for number, row in enumerate(rows):
        left = 0
        for picture in row:
            sheet.paste(picture, (left, number * ROW_HEIGHT))
            left += picture.width
    return sheet


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:4]))
