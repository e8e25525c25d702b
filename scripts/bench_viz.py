"""Drawing masks on 1080p images; the target is 3 times torchvision's draw_segmentation_masks.

segcli fills and outlines the masks and draws boxes and labels, from RLE; torchvision and
supervision fill the same masks and nothing else, from arrays that are already decoded, and, a line
further, with the decoding. One thread draws; torch may use all cores.
"""

import statistics
import time
from collections.abc import Callable

import numpy as np

HEIGHT, WIDTH = 1080, 1920
IMAGES, MASKS, RUNS = 2, 20, 3


def main() -> dict[str, float | str]:
    import torch
    from torchvision.utils import draw_segmentation_masks

    from segcli import rle
    from segcli.draw import Item, Style, draw

    scenes = [scene(seed) for seed in range(IMAGES)]
    items, decoded = [], []
    for _, masks in scenes:
        counts = [rle.encode(mask) for mask in masks]
        boxes = [rle.to_box(c, HEIGHT, WIDTH) for c in counts]
        items.append(
            [
                Item(1 + i % 8, f"class {i % 8}", 0.9 - i / 100, box, c)
                for i, (c, box) in enumerate(zip(counts, boxes, strict=True))
            ]
        )
        decoded.append(torch.from_numpy(np.stack(masks)))
    tensors = [torch.from_numpy(pixels).permute(2, 0, 1).contiguous() for pixels, _ in scenes]
    colours = [item_.colour for item_ in items[0]]

    def ours(i: int, style: Style) -> None:
        draw(scenes[i][0], items[i], style, image_size=(HEIGHT, WIDTH))

    def theirs(i: int, masks: torch.Tensor) -> None:
        draw_segmentation_masks(tensors[i], masks, alpha=0.45, colors=colours)

    def expanded(i: int) -> torch.Tensor:
        return torch.from_numpy(np.stack([rle.decode(m.rle, HEIGHT, WIDTH) for m in items[i]]))

    plain = Style(boxes=False, labels=False)
    figures: dict[str, float | str] = {
        "segcli, images/s": rate(lambda i: ours(i, Style())),
        "segcli without boxes and labels, images/s": rate(lambda i: ours(i, plain)),
        "torchvision, images/s": rate(lambda i: theirs(i, decoded[i])),
        "torchvision from RLE, images/s": rate(lambda i: theirs(i, expanded(i))),
    }
    figures |= supervision_figures([pixels for pixels, _ in scenes], decoded)
    base = figures["segcli, images/s"]
    for name in ("torchvision", "torchvision from RLE", "supervision"):
        other = figures.get(f"{name}, images/s")
        if isinstance(base, float) and isinstance(other, float):
            figures[f"segcli / {name}"] = base / other
    return figures


def supervision_figures(images: list[np.ndarray], masks: list) -> dict[str, float | str]:
    """supervision is no dependency: where it is installed it is measured too."""
    try:
        import supervision as sv
    except ImportError as error:
        return {"supervision": f"not measured: {error}"}
    annotator = sv.MaskAnnotator(opacity=0.45)
    found = []
    for stack in masks:
        arrays = stack.numpy()
        boxes = sv.mask_to_xyxy(arrays).astype(float)
        labels = np.arange(len(arrays)) % 8
        found.append(sv.Detections(xyxy=boxes, mask=arrays, class_id=labels))
    return {"supervision, images/s": rate(lambda i: annotator.annotate(images[i].copy(), found[i]))}


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


def rate(work: Callable[[int], object]) -> float:
    """Images per second: the median of RUNS over all images; the first run does not count."""
    times = []
    for _ in range(RUNS + 1):
        start = time.perf_counter()
        for i in range(IMAGES):
            work(i)
        times.append(time.perf_counter() - start)
    return IMAGES / statistics.median(times[1:])


if __name__ == "__main__":
    for name, value in main().items():
        print(f"{name:<45} {value}")
