"""Drawing masks on 1080p images; the target is 3 times torchvision's draw_segmentation_masks.

segcli fills and outlines the masks and draws boxes and labels, from RLE; torchvision and
supervision fill the same masks and nothing else, from arrays that are already decoded, and, a line
further, with the decoding. Each draws on one thread. Ratios are of the best of RUNS by the clock,
and of the processor's seconds, which a loaded machine changes little.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

HEIGHT, WIDTH = 1080, 1920
IMAGES, MASKS, RUNS = 2, 20, 3
PATIENCE = 10  # s


class Cost(NamedTuple):
    """Seconds per image: by the clock, and of the processor."""

    wall: float
    cpu: float


def main() -> dict[str, float | str]:
    import torch

    from segcli.viz import Style, draw

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    scenes = [scene(seed) for seed in range(IMAGES)]
    items = [items_of(masks) for _, masks in scenes]

    def ours(style: Style) -> Callable[[int], object]:
        return lambda i: draw(scenes[i][0], items[i], style, image_size=(HEIGHT, WIDTH))

    costs = {
        "segcli": cost(ours(Style())),
        "segcli without boxes and labels": cost(ours(Style(boxes=False, labels=False))),
        **torchvision_costs(scenes, items),
    }
    absent = ""
    try:
        costs["supervision"] = supervision_cost(scenes)
    except ImportError:
        absent = "not installed, not measured (pip install --no-deps supervision)"
    torch.set_num_threads(threads)
    figures: dict[str, float | str] = {f"{n}, images/s": 1 / c.wall for n, c in costs.items()}
    figures |= {f"{n}, CPU ms per image": 1000 * c.cpu for n, c in costs.items()}
    mine = costs["segcli"]
    for name, other in costs.items():
        if not name.startswith("segcli"):
            figures[f"segcli is faster than {name} by"] = (
                f"{other.wall / mine.wall:.1f} by the clock, {other.cpu / mine.cpu:.1f} in CPU time"
            )
    return figures | ({"supervision": absent} if absent else {})


def items_of(masks: list[np.ndarray]) -> list:
    from segcli.masks import rle
    from segcli.store.image_masks import Mask
    from segcli.viz import ShownMask

    counts = [rle.encode(mask) for mask in masks]
    return [
        ShownMask(
            Mask(
                category_id=1 + i % 8,
                category=f"class {i % 8}",
                score=0.9 - i / 100,
                box=rle.to_box(text, HEIGHT, WIDTH),
                area=rle.area(text, HEIGHT, WIDTH),
                rle=text,
            )
        )
        for i, text in enumerate(counts)
    ]


def torchvision_costs(scenes: list, items: list) -> dict[str, Cost]:
    import torch
    from torchvision.utils import draw_segmentation_masks

    from segcli.masks import rle

    colours = [item.colour for item in items[0]]
    images = [torch.from_numpy(pixels).permute(2, 0, 1).contiguous() for pixels, _ in scenes]
    stacks = [torch.from_numpy(np.stack(masks)) for _, masks in scenes]

    def expanded(i: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([rle.decode(m.mask.rle, HEIGHT, WIDTH) for m in items[i]]))

    def drawn(i: int, masks: torch.Tensor) -> object:
        return draw_segmentation_masks(images[i], masks, alpha=0.45, colors=colours)

    return {
        "torchvision": cost(lambda i: drawn(i, stacks[i])),
        "torchvision from RLE": cost(lambda i: drawn(i, expanded(i))),
    }


def supervision_cost(scenes: list) -> Cost:
    """supervision is no dependency. Raises ImportError where it is not installed."""
    import supervision as sv

    annotator = sv.MaskAnnotator(opacity=0.45)
    found = []
    for _, masks in scenes:
        stack = np.stack(masks)
        boxes = sv.mask_to_xyxy(stack).astype(float)
        found.append(sv.Detections(xyxy=boxes, mask=stack, class_id=np.arange(len(stack)) % 8))
    return cost(lambda i: annotator.annotate(scenes[i][0].copy(), found[i]))


def scene(seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Noise on a slope, uint8 (H, W, 3), and MASKS ellipses of 40 to 600 px, bool (H, W)."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[:HEIGHT, :WIDTH]
    slope = ((rows + columns) // 12).astype(np.uint8)
    noise = rng.integers(0, 8, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    masks = []
    for _ in range(MASKS):
        tall, wide = np.exp(rng.uniform(np.log(20), np.log(300), 2))
        y, x = rng.uniform(0, HEIGHT), rng.uniform(0, WIDTH)
        masks.append(((rows - y) / tall) ** 2 + ((columns - x) / wide) ** 2 <= 1)
    return slope[..., None] + noise, masks


def cost(work: Callable[[int], object]) -> Cost:
    """The best of RUNS over all images, fewer where they take long; the first time, which warms
    up, does not count."""
    work(0)
    found: list[tuple[float, float]] = []
    while len(found) < RUNS and sum(w for w, _ in found) < PATIENCE:
        wall, cpu = time.perf_counter(), time.process_time()
        for i in range(IMAGES):
            work(i)
        found.append((time.perf_counter() - wall, time.process_time() - cpu))
    return Cost(min(w for w, _ in found) / IMAGES, min(c for _, c in found) / IMAGES)


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:<45} {value}")
