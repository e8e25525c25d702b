"""Draw intermediate results of the families: figures.py [FAMILY ...].

Writes docs/methods/FAMILY.jpg. Mask R-CNN is drawn with the weights that ship, on a photograph of a
person; so is EmbedMask, in a picture of its own, where weights of embedmask/mobilenet are found
(or given with --weights). The other pictures show toys that this script teaches a photograph of
coins first (scripts/figures/coins.py), which takes each a minute or two.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import torch
from numpy.typing import NDArray
from torch import Tensor

from scripts.figures.coins import CANVAS, photograph, trained
from segcli.errors import SegcliError
from segcli.images.batch import collate, fit
from segcli.masks import rle
from segcli.masks.sampling import segments
from segcli.models import registry
from segcli.types import Batch, Image, Instances, ModelInfo
from segcli.viz.palette import BASE
from segcli_blocks.segmenter import Selection

OUT = Path(__file__).resolve().parents[2] / "docs/methods"
SCORE = 0.4  # what is drawn of the toys' detections
Pixels = NDArray[np.uint8]
Panel = tuple[str, NDArray[Any]]  # its title; RGB, or one channel that is shown as heat


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m scripts.figures.methods", description=__doc__)
    names = ["maskrcnn", "embedmask", "yolact", "solo", "condinst", "embedmask-mobilenet"]
    parser.add_argument("families", nargs="*", default=names, metavar="FAMILY", choices=names)
    parser.add_argument("--weights", help="of embedmask/mobilenet; default: what ships or is kept")
    options = parser.parse_args(arguments)
    OUT.mkdir(exist_ok=True)
    for name in options.families:
        try:
            panels = panels_of(name, options.weights)
        except SegcliError as missing:  # the weights, where none ship
            print(f"figures: no {name}: {missing}", file=sys.stderr)
            continue
        path = OUT / f"{name}.jpg"
        save(path, panels)
        print(f"figures: {path.name}, {path.stat().st_size / 1e3:.0f} kB", flush=True)
    return 0


def panels_of(name: str, weights: str | None) -> list[Panel]:
    drawn = {
        "maskrcnn": maskrcnn, "embedmask": embedmask, "yolact": yolact, "solo": solo,
        "condinst": condinst,
    }  # fmt: skip
    family, _, variant = name.partition("-")
    if family == "maskrcnn" or variant:
        named = "maskrcnn/lite2" if family == "maskrcnn" else "embedmask/mobilenet"
        model: Any = registry.load_model(named, weights if variant else None).model
        batch = person(model.info)
    else:
        model = trained(family)
        grey = torch.from_numpy(photograph()[0]).permute(2, 0, 1)
        batch = Batch(("coins",), grey[None], (CANVAS,), (CANVAS,))
    with torch.inference_mode():
        return drawn[family](model, batch)


def person(info: ModelInfo) -> Batch:
    from skimage import data

    pixels = data.astronaut()
    return collate([fit(Image("astronaut", pixels, pixels.shape[:2]), info)], info)


# One function a family: what it computes, in its order.


def maskrcnn(model: Any, batch: Batch) -> list[Panel]:
    _, scored = model.first_stage(batch)
    (regions,) = model.rpn.propose(scored, batch.content_sizes)
    (found,) = model.predict(batch, min_score=model.info.default_score, max_masks=100)
    photo = pixels_of(batch)
    small = [field.numpy() for field in found.fields[:4]]
    return [
        ("the 60 proposals that the first stage ranks best", with_boxes(photo, regions[:60])),
        ("boxes that the second stage makes of them", with_boxes(photo, found.boxes)),
        ("a mask of 28 x 28 cells for each", montage(small, columns=1 + (len(small) > 1))),
        ("found", with_masks(photo, found, batch)),
    ]


def embedmask(model: Any, batch: Batch) -> list[Panel]:
    from segcli_embedmask.masks import log_probability, upsampled

    dense, pixels, points = model(batch)
    content = batch.content_sizes[0]
    chosen = model.detect(dense.image(0), points, Selection(score(model), 100), content)
    image = torch.zeros_like(chosen.index)
    embedding, margin = model.proposals(dense, points, image, chosen.index)
    grid = cut(upsampled(pixels)[0], content, 4)
    (found,) = model.predict(batch, min_score=score(model), max_masks=100)
    probability = log_probability(grid, embedding, margin).exp()
    # In units of the margins, so that distances look as large as they count.
    scaled = grid * margin.mean(0).sqrt()[:, None, None]
    apart = (
        "probability: a pixel's embedding against an object's"
        if len(probability) == 1
        else "probability of three objects, in a colour each"
    )
    return [
        ("pixel embeddings, places included (PCA)", pca(scaled)),
        ("pixel embeddings without places (PCA)", pca(scaled[2:])),
        (apart, coloured(probability[:3])),
        ("found", with_masks(pixels_of(batch), found, batch)),
    ]


def yolact(model: Any, batch: Batch) -> list[Panel]:
    from segcli_blocks.soft_masks import dynamic_conv
    from segcli_yolact.masks import cropped

    raw = model(batch)
    best = model.detect(raw, 0, Selection(score(model), 100))
    logits = dynamic_conv(best.coefficients, raw.prototypes[0])
    (found,) = model.predict(batch, min_score=score(model), max_masks=100)
    prototypes = [(p / p.amax().clamp(min=1e-6)).numpy() for p in raw.prototypes[0]]
    return [
        ("the eight prototypes", montage(prototypes, columns=3)),
        ("their mixture for one object", logits[0].sigmoid().numpy()),
        ("cropped to its box", cropped(logits, best.boxes)[0].numpy()),
        ("found", with_masks(pixels_of(batch), found, batch)),
    ]


def solo(model: Any, batch: Batch) -> list[Panel]:
    dense = model(batch)
    said = [level[0].sigmoid().amax(0) for level in dense.categories]
    level = max(range(len(said)), key=lambda i: int((said[i] > model.options.candidate).sum()))
    (found,) = model.predict(batch, min_score=score(model), max_masks=100)
    cells = said[level].flatten().topk(12).indices[::3]
    soft = dense.masks.soft(0, level, cells)
    photo = pixels_of(batch)
    side = said[level].shape[0]
    return [
        (f"the grid of {side} x {side} cells: where objects have their centre",
         with_grid(photo, said[level].numpy())),
        ("mask features (PCA)", pca(dense.masks.features[0])),
        ("the features through the kernels of four cells", montage(list(soft.numpy()), columns=2)),
        ("found", with_masks(photo, found, batch)),
    ]  # fmt: skip


def condinst(model: Any, batch: Batch) -> list[Panel]:
    raw = model(batch)
    chosen = model.detect(raw.dense, raw.points, Selection(score(model), 100))
    image = torch.zeros_like(chosen.index)
    parameters = model.parameters_at(raw.dense, raw.points, image, chosen.index)
    logits = model.masks(raw.features[0], parameters, raw.points, chosen.index)
    (found,) = model.predict(batch, min_score=score(model), max_masks=100)
    channels = [within(channel).numpy() for channel in raw.features[0]]
    four = logits[:: max(1, len(logits) // 4)][:4].sigmoid()
    return [
        ("the eight mask features", montage(channels, columns=3)),
        ("the masks of four objects, by the networks made for them",
         montage(list(four.numpy()), columns=2)),
        ("three of them, in a colour each", coloured(four[:3])),
        ("found", with_masks(pixels_of(batch), found, batch)),
    ]  # fmt: skip


# How numbers become pictures.


def score(model: Any) -> float:
    ships = model.info.variant in ("lite2", "mobilenet")
    return float(model.info.default_score) if ships else SCORE


def pixels_of(batch: Batch) -> Pixels:
    h, w = batch.content_sizes[0]
    pixels: Pixels = batch.pixels[0, :, :h, :w].permute(1, 2, 0).numpy()
    return pixels


def cut(values: Tensor, content: tuple[int, int], stride: int) -> Tensor:
    """(D, h, w) without what lies beyond the content."""
    return values[:, : -(-content[0] // stride), : -(-content[1] // stride)]


def within(values: Tensor) -> Tensor:
    """From 0 to 1 between the 2nd and the 98th percentile."""
    low, high = torch.quantile(values.flatten(), torch.tensor([0.02, 0.98]))
    return ((values - low) / (high - low).clamp(min=1e-6)).clamp(0, 1)


def pca(values: Tensor) -> Pixels:
    """(D, h, w) -> RGB: the three directions in which the values differ most."""
    flat = values.flatten(1).T
    centred = flat - flat.mean(0)
    _, _, directions = torch.linalg.svd(centred.T @ centred)
    shown = (centred @ directions[:3].T).T.reshape(3, *values.shape[1:])
    rgb = torch.stack([within(channel) for channel in shown], 2)
    return (rgb * 255).byte().numpy()


def coloured(probability: Tensor) -> Pixels:
    """Up to three maps (n, h, w) of 0..1 -> RGB on black, in the colours of the masks."""
    colours = torch.tensor(BASE[: len(probability)], dtype=torch.float32)
    mixed = torch.einsum("nhw,nc->hwc", probability, colours)
    return mixed.clamp(max=255).byte().numpy()


def montage(maps: list[NDArray[Any]], *, columns: int) -> NDArray[Any]:
    """Maps of 0..1 side by side, row after row, with a white line between them."""
    shape = maps[0].shape
    line = max(1, shape[1] // 60)
    rows = -(-len(maps) // columns)
    step = (shape[0] + line, shape[1] + line)
    whole = np.full((rows * step[0] - line, columns * step[1] - line), np.nan)
    for index, each in enumerate(maps):
        i, j = divmod(index, columns)
        whole[i * step[0] :, j * step[1] :][: shape[0], : shape[1]] = each
    return whole


def with_masks(photo: Pixels, found: Instances, batch: Batch) -> Pixels:
    h, w = batch.content_sizes[0]
    drawn = photo.astype(np.float32)
    for index, segment in enumerate(segments(found, content_size=(h, w), image_size=(h, w))):
        mask = rle.decode(segment.rle, h, w)
        drawn[mask] = 0.45 * drawn[mask] + 0.55 * np.array(BASE[index % len(BASE)])
    return drawn.astype(np.uint8)


def with_boxes(photo: Pixels, boxes: Tensor) -> Pixels:
    from PIL import ImageDraw

    image = PIL.Image.fromarray(photo)
    pen = ImageDraw.Draw(image)
    for index, box in enumerate(boxes.tolist()):
        pen.rectangle(box, outline=BASE[index % len(BASE)], width=1 + (len(boxes) < 10))
    return np.asarray(image)


def with_grid(photo: Pixels, said: NDArray[Any]) -> Pixels:
    """The cells (S, S) over the photograph, the redder the surer."""
    h, w = photo.shape[:2]
    row, column = np.arange(h) * len(said) // h, np.arange(w) * len(said) // w
    sure = said[row][:, column, None]
    drawn = photo * (1 - 0.75 * sure) + np.array(BASE[1]) * 0.75 * sure
    drawn[1:][row[1:] != row[:-1]] += 50
    drawn[:, 1:][:, column[1:] != column[:-1]] += 50
    return drawn.clip(0, 255).astype(np.uint8)


def save(path: Path, panels: list[Panel]) -> None:
    import matplotlib as mpl
    from matplotlib.figure import Figure

    tallest = max(image.shape[0] / image.shape[1] for _, image in panels)
    figure = Figure(figsize=(10, 2 * (5 * tallest + 0.3)), layout="constrained")
    heat = mpl.colormaps["magma"].with_extremes(bad="white")
    for place, (title, image) in enumerate(panels, 1):
        axes = figure.add_subplot(2, 2, place)
        axes.imshow(image, cmap=heat, vmin=0, vmax=1, interpolation="nearest")
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    figure.savefig(path, dpi=90, pil_kwargs={"quality": 75, "optimize": True})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
