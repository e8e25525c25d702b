"""`segcli train`: a model of your own from images with COCO annotations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from segcli.cli.output_checks import refuse_places
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.train.loop import Recipe

Images = Annotated[list[Path], typer.Option(help="Folder of images; repeat with --ann for more.")]
Ann = Annotated[list[Path], typer.Option(help="COCO json of the --images of the same place.")]
Model = Annotated[str | None, typer.Option(metavar="FAMILY[/VARIANT]", help="See `segcli models`.")]
Out = Annotated[Path, typer.Option(help="Folder for checkpoints, the log and the model.")]
Weights = Annotated[
    Path | None, typer.Option(help="Begin with these: segcli's or a published checkpoint.")
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="all|NAME,NAME",
        help="Categories that the --ann of the same place annotates at all; the others are then "
        "neither object nor background there. Default: all.",
    ),
]
Categories = Annotated[
    str | None, typer.Option(metavar="NAME,NAME", help="Learn these; default: all in --ann.")
]
Size = Annotated[
    str, typer.Option(metavar="N|LOW-HIGH", help="Short side of the training canvas, px.")
]
TestSize = Annotated[
    str | None, typer.Option(metavar="SHORT-LONG", help="Size at prediction, px; default: variant.")
]


Epochs = Annotated[int, typer.Option(min=1)]
BatchSize = Annotated[int, typer.Option(min=1)]
Rate = Annotated[float, typer.Option(help="Peak learning rate.")]
Optimizer = Annotated[Literal["adamw", "sgd"], typer.Option()]
Schedule = Annotated[Literal["cosine", "step"], typer.Option()]
Warmup = Annotated[int, typer.Option(min=1, help="Steps of rising learning rate.")]
Augment = Annotated[bool, typer.Option(help="Flip, scale, colour, copy-paste.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the convolutions.")
]
Workers = Annotated[int, typer.Option(min=1, help="Threads that make samples.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all random numbers.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last whole epoch.")]
ValImages = Annotated[Path | None, typer.Option(help="Images for the AP at the end.")]
ValAnn = Annotated[Path | None, typer.Option(help="COCO json of --val-images.")]


def train(
    images: Images,
    ann: Ann,
    out: Out,
    model: Model = None,
    weights: Weights = None,
    val_images: ValImages = None,
    val_ann: ValAnn = None,
    only_categories: Only = None,
    categories: Categories = None,
    epochs: Epochs = 12,
    batch_size: BatchSize = 4,
    lr: Rate = 3e-4,
    optimizer: Optimizer = "adamw",
    schedule: Schedule = "cosine",
    warmup: Warmup = 200,
    image_size: Size = "288-416",
    test_size: TestSize = None,
    augment: Augment = True,
    device: Device = "auto",
    precision: Precision = "auto",
    workers: Workers = 2,
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Train a model on images with COCO annotations; --resume goes on after the last whole epoch.

    OUT gets last.pt (after every epoch), log.jsonl and, at the end, model.safetensors, which
    `segcli predict --weights` takes.
    """
    options = dict(locals())
    from segcli.cli.training import Schedule, run

    _check(out, lr, resume=resume)
    plan = Schedule(
        pairs=_pairs(images, ann, only_categories or []),
        out=out,
        model=model,
        weights=weights,
        categories=categories,
        test_size=None if test_size is None else _range(test_size, "--test-size"),
        validation=_both(val_images, val_ann),
        device=device,
        precision=precision,
        resume=resume,
    )
    run(plan, _recipe(options))


def _recipe(options: dict[str, Any]) -> Recipe:
    """The options of the same names, those that decide the outcome."""
    from segcli.train.augment import Augmentation
    from segcli.train.loop import Recipe

    same = ("epochs", "batch_size", "optimizer", "schedule", "warmup", "seed", "workers")
    return Recipe(
        **{name: options[name] for name in same},
        rate=options["lr"],
        short=_range(options["image_size"], "--image-size"),
        augmentation=Augmentation() if options["augment"] else Augmentation.none(),
    )


def _check(out: Path, rate: float, *, resume: bool) -> None:
    """Raises UsageError before anything is loaded or overwritten."""
    refuse_places({"--out": out})
    if not resume and (out / "last.pt").exists():
        raise UsageError(
            f"{out}/last.pt is of an earlier training; --resume goes on with it, another --out "
            "keeps it"
        )
    if not 0 < rate < math.inf:
        raise UsageError(f"--lr {rate:g}: expected a number above 0, such as 3e-4")


def _both(images: Path | None, ann: Path | None) -> tuple[Path, Path] | None:
    if images is None and ann is None:
        return None
    if images is None or ann is None:
        raise UsageError("--val-images and --val-ann go together; give both or neither")
    return images, ann


def _pairs(
    images: list[Path], ann: list[Path], only: list[str]
) -> tuple[tuple[Path, Path, frozenset[str] | None], ...]:
    """--images, --ann and --only-categories of the same place belong together."""
    if len(images) != len(ann):
        raise UsageError(f"{len(images)} --images and {len(ann)} --ann; each needs its partner")
    if only and len(only) != len(ann):
        raise UsageError(
            f"{len(only)} --only-categories for {len(ann)} data sets; give one for each, "
            "'all' where everything is annotated"
        )
    known = [None if text == "all" else frozenset(text.split(",")) for text in only]
    return tuple(zip(images, ann, known or [None] * len(ann), strict=True))


def _range(text: str, option: str) -> tuple[int, int]:
    """ "288-416" -> (288, 416); "320" -> (320, 320)."""
    low, _, high = text.partition("-")
    if not low.isdecimal() or (high and not high.isdecimal()):
        raise UsageError(f"{option} {text}: expected px as N or LOW-HIGH, such as 288-416")
    numbers = int(low), int(high or low)
    if not 0 < numbers[0] <= numbers[1]:
        raise UsageError(f"{option} {text}: expected 0 < LOW <= HIGH")
    return numbers
