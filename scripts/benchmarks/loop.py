"""End to end against a plain torchvision loop: decode, model, paste, encode, write; same weights.

The loop is what one writes on an afternoon: an image at a time through eager float32, torchvision's
paste, pycocotools' encoding of full-size masks, one JSON file. segcli is timed as `predict` runs
it, commit of the part included, in float32 and in the precision that it chooses by itself, with
torch and, where it is installed, with OpenVINO, and in int8; in a process of its own, because it
sets the allocator for good. The ways take turns; the medians are of wall seconds and of processor
seconds. ONEDNN_MAX_CPU_ISA=AVX2 makes torch and OpenVINO compute as on a processor without AVX-512
and bfloat16 (ATEN_CPU_CAPABILITY=avx2 does so for the rest of torch).
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from pycocotools import mask as coco
from torchvision.models.detection.roi_heads import paste_masks_in_image

from scripts.benchmarks.stages import Clock, timed_run
from scripts.benchmarks.tables import markdown
from scripts.data.photographs import photographs
from segcli.models import checkpoint, openvino_graph, registry
from segcli.pipeline import PredictOptions
from segcli.pipeline.quantize import quantize
from segcli.plugin import Family
from segcli.store import read_masks
from segcli.types import ModelInfo

PHOTOGRAPHS, FEWER = 48, 8
"""Of a run of the shipped model and of r50-fpn; what a run does once counts little in so many."""
TURNS = 2
WAYS = {
    "float32": {"precision": "float32", "runtime": "torch"},
    "bfloat16 or float32": {"precision": "auto", "runtime": "torch"},
}
WITH_OPENVINO = {
    "float32, OpenVINO": {"precision": "float32", "runtime": "openvino"},
    "auto, OpenVINO": {"precision": "auto", "runtime": "openvino"},
    "int8": {"precision": "int8", "runtime": "openvino"},
}
COLUMNS = (" s", ", times as fast", " processor s", ", times less processor", " masks")


def main() -> dict[str, Any]:
    """Seconds of each way and their ratio, for the shipped model and for r50-fpn."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as name:
        room = Path(name)
        images = photographs(room / "images", (1920, 1080), PHOTOGRAPHS)
        figures |= prefixed("shipped", shipped(room, images))
        figures |= prefixed("r50-fpn", resnet(room, images))
    return figures


def prefixed(name: str, figures: dict[str, Any]) -> dict[str, Any]:
    return {f"{name} {key}": value for key, value in figures.items()}


def shipped(room: Path, images: list[Path]) -> dict[str, Any]:
    """The model of the package, its network called by the loop."""
    loaded = registry.load_model(None, None)
    model, resize = loaded.model, loaded.info.resize

    def network(pixels: np.ndarray) -> tuple[torch.Tensor, ...]:
        from segcli.images.batch import collate, fit
        from segcli.types import Image as Decoded

        batch = collate([fit(Decoded("", pixels, pixels.shape[:2]), loaded.info)], loaded.info)
        found = model.predict(batch, min_score=0.05, max_masks=100)[0]
        scale = torch.tensor([1920 / batch.content_sizes[0][1], 1080 / batch.content_sizes[0][0]])
        boxes = found.boxes * scale.repeat(2)
        masks = paste_masks_in_image(found.fields[:, None], boxes, pixels.shape[:2])
        return boxes, found.scores, found.labels, masks

    figures = compare(room / "a", images, network, model=None, weights=None)
    return {"short side px": resize.short, **figures}


def resnet(room: Path, images: list[Path]) -> dict[str, Any]:
    """torchvision's own Mask R-CNN R50-FPN at 800 x 1333 px, random weights that find much."""
    theirs, family, info = random_resnet()
    weights = room / "r50.safetensors"
    checkpoint.save(weights, family.convert(theirs.state_dict(), info), info)

    def network(pixels: np.ndarray) -> tuple[torch.Tensor, ...]:
        tensor = torch.from_numpy(pixels).permute(2, 0, 1).float() / 255
        found = theirs([tensor])[0]
        return found["boxes"], found["scores"], found["labels"], found["masks"]

    return compare(
        room / "b", images[:FEWER], network, model="maskrcnn/r50-fpn", weights=str(weights)
    )


def random_resnet() -> tuple[Any, Family, ModelInfo]:
    """torchvision's model with such weights, and our family and variant that take them."""
    from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
    from torchvision.models.detection.mask_rcnn import MaskRCNN
    from torchvision.ops import FrozenBatchNorm2d

    family, info = registry.find("maskrcnn/r50-fpn")
    norm = partial(FrozenBatchNorm2d, eps=0.0)
    backbone = resnet_fpn_backbone(backbone_name="resnet50", weights=None, norm_layer=norm)
    theirs = MaskRCNN(backbone, num_classes=91).eval()
    with torch.no_grad():
        for name, parameter in theirs.named_parameters():
            if name.endswith("conv3.weight"):
                parameter.mul_(0.2)  # or the features of a random network explode
            elif name.endswith("cls_score.weight"):
                parameter.normal_(std=1.0)
    return theirs, family, info


def compare(
    room: Path,
    images: list[Path],
    network: Callable[[np.ndarray], tuple[torch.Tensor, ...]],
    *,
    model: str | None,
    weights: str | None,
) -> dict[str, Any]:
    """The loop and segcli in all its ways, on the same images; loading is not timed."""
    room.mkdir()
    ways = WAYS | (WITH_OPENVINO if openvino_graph.is_installed() else {})
    int8 = str(room / "int8.safetensors")
    if "int8" in ways:
        folder = str(images[0].parent)
        quantize(model, [folder], Path(int8), weights=weights, note=lambda _: None)
    network(np.array(Image.open(images[0])))  # warm
    spent = {way: Clock() for way in ("loop", *ways)}
    masks: dict[str, int] = {}
    with ProcessPoolExecutor(1, get_context("spawn")) as own:
        for turn in range(TURNS):
            with spent["loop"].over("cpu"):
                start = time.perf_counter()
                masks["loop"] = plain_loop(images, network, room / "results.json")
                spent["loop"].add("wall", time.perf_counter() - start)
            for way, options_of in ways.items():
                out = room / f"{way}-{turn}.parquet"
                options = PredictOptions(
                    source=str(images_list(room, images)),
                    out=out,
                    model=model,
                    weights=int8 if way == "int8" else weights,
                    device="cpu",
                    replicas=0,
                    **options_of,
                )
                wall, processor = own.submit(timed_run, options).result()
                spent[way].add("wall", wall)
                spent[way].add("cpu", processor)
                masks[way] = sum(b.num_rows for b in read_masks(out, columns=["score"]))
    return report(spent, masks, len(images))


def report(spent: dict[str, Clock], masks: dict[str, int], images: int) -> dict[str, Any]:
    """Seconds per image of each way, and how many times as long the loop takes."""
    figures: dict[str, Any] = {"images": images}
    loop = spent["loop"].medians()
    for way, clock in spent.items():
        found = clock.medians()
        figures |= {
            f"{way} s": found["wall"] / images,
            f"{way} processor s": found["cpu"] / images,
            f"{way} masks": masks[way],
        }
        if way != "loop":
            figures[f"{way}, times as fast"] = loop["wall"] / found["wall"]
            figures[f"{way}, times less processor"] = loop["cpu"] / found["cpu"]
    return figures


def table(figures: dict[str, Any]) -> str:
    """One line a model and way."""
    lines = [
        (
            f"{model}: {way}",
            *(figures.get(f"{model} {way}{what}") for what in COLUMNS),
        )
        for model in ("shipped", "r50-fpn")
        for way in ("loop", *WAYS, *WITH_OPENVINO)
        if f"{model} {way} s" in figures
    ]
    head = ("s per image", "times as fast", "processor s", "times less", "masks in all")
    return markdown(("", *head), lines)


def images_list(room: Path, images: list[Path]) -> Path:
    path = room / "images.txt"
    path.write_text("".join(f"{image}\n" for image in images))
    return path


@torch.inference_mode()
def plain_loop(
    images: list[Path], network: Callable[[np.ndarray], tuple[torch.Tensor, ...]], out: Path
) -> int:
    """Every mask into one JSON file; returns how many there are."""
    results = []
    for path in images:
        pixels = np.array(Image.open(path).convert("RGB"))
        boxes, scores, labels, masks = network(pixels)
        for box, score, label, mask in zip(boxes, scores, labels, masks, strict=True):
            binary = np.asfortranarray((mask[0] >= 0.5).numpy().astype(np.uint8))
            rle = coco.encode(binary)
            rle["counts"] = rle["counts"].decode()
            results.append(
                {
                    "image": path.name,
                    "category_id": int(label),
                    "score": float(score),
                    "bbox": box.tolist(),
                    "segmentation": rle,
                }
            )
    out.write_text(json.dumps(results))
    return len(results)


if __name__ == "__main__":
    for key, value in main().items():
        print(f"{key:<32} {value}")
