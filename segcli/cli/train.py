"""`segcli train`: a model of your own from images with COCO annotations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from segcli.cli.output_checks import refuse_places
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.train.data import DataSet
    from segcli.train.loop import Recipe
    from segcli.train.sources import Sources, Validation

Images = Annotated[
    list[Path] | None, typer.Option(help="Folder of images; repeat with --ann for more.")
]
Ann = Annotated[
    list[Path] | None, typer.Option(help="COCO json of the --images of the same place.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help="Names all data sets, in place of --images, --ann, --only-categories, --categories, "
        "--val-images and --val-ann.",
    ),
]
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
Schedule = Annotated[
    Literal["cosine", "step", "flat"],
    typer.Option(
        help="Of the rate. flat: it falls in the last fifth only; until then --resume takes "
        "another --epochs."
    ),
]
Repeat = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Show images of categories that fewer than this share of the images show more often "
        "(repeat-factor sampling); 0: no.",
    ),
]
SaveEvery = Annotated[int, typer.Option(min=1, help="Steps between checkpoints.")]
Warmup = Annotated[int, typer.Option(min=1, help="Steps of rising learning rate.")]
Augment = Annotated[bool, typer.Option(help="Flip, scale, colour, copy-paste.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N.")]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"], typer.Option(help="Of the convolutions.")
]
Workers = Annotated[int, typer.Option(min=1, help="Threads that make samples.")]
Seed = Annotated[int, typer.Option(min=0, help="Of all random numbers.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on after the last checkpoint.")]
ValImages = Annotated[Path | None, typer.Option(help="Images for the AP at the end.")]
ValAnn = Annotated[Path | None, typer.Option(help="COCO json of --val-images.")]


def train(
    out: Out,
    images: Images = None,
    ann: Ann = None,
    data: Data = None,
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
    repeat_threshold: Repeat = 0.0,
    save_every: SaveEvery = 200,
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
    """Train a model on images with COCO annotations; --resume goes on after the last checkpoint.

    OUT gets last.pt (the checkpoint), log.jsonl and, at the end, model.safetensors, which
    `segcli predict --weights` takes.
    """
    options = dict(locals())
    from segcli.cli.training import TrainingOptions, run

    _check(out, lr, resume=resume)
    plan = TrainingOptions(
        sources=_sources(options),
        out=out,
        model=model,
        weights=weights,
        test_size=None if test_size is None else _range(test_size, "--test-size"),
        repeat_threshold=repeat_threshold,
        device=device,
        precision=precision,
        resume=resume,
    )
    run(plan, _recipe(options))


def _recipe(options: dict[str, Any]) -> Recipe:
    """The options of the same names, those that decide the outcome."""
    from segcli.train.augment import Augmentation
    from segcli.train.loop import Recipe

    same = ("epochs", "batch_size", "optimizer", "schedule", "warmup", "seed", "workers",
            "save_every")  # fmt: skip
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


def _sources(options: dict[str, Any]) -> Sources:
    """The data sets, from --data or from the options that it stands for."""
    from segcli.train.sources import Sources, read_sources

    same = ("images", "ann", "only_categories", "categories", "val_images", "val_ann")
    if options["data"] is not None:
        if given := [name for name in same if options[name]]:
            raise UsageError(
                f"--{given[0].replace('_', '-')} beside --data; put it into {options['data']}"
            )
        return read_sources(options["data"])
    if not options["images"] and not options["ann"]:
        raise UsageError("nothing to train on; give --images and --ann, or --data FILE.toml")
    train = _pairs(options["images"] or [], options["ann"] or [], options["only_categories"] or [])
    names = options["categories"]
    wanted = None if names is None else tuple(name.strip() for name in names.split(","))
    return Sources(train, _validation(options["val_images"], options["val_ann"]), wanted)


def _validation(images: Path | None, ann: Path | None) -> tuple[Validation, ...]:
    from segcli.train.sources import Validation

    if images is None and ann is None:
        return ()
    if images is None or ann is None:
        raise UsageError("--val-images and --val-ann go together; give both or neither")
    return (Validation(ann.stem, images, ann),)


def _pairs(images: list[Path], ann: list[Path], only: list[str]) -> tuple[DataSet, ...]:
    """--images, --ann and --only-categories of the same place belong together."""
    from segcli.train.data import DataSet

    if len(images) != len(ann):
        raise UsageError(f"{len(images)} --images and {len(ann)} --ann; each needs its partner")
    if only and len(only) != len(ann):
        raise UsageError(
            f"{len(only)} --only-categories for {len(ann)} data sets; give one for each, "
            "'all' where everything is annotated"
        )
    known = [None if text == "all" else frozenset(text.split(",")) for text in only]
    triples = zip(images, ann, known or [None] * len(ann), strict=True)
    return tuple(DataSet(*triple) for triple in triples)


def _range(text: str, option: str) -> tuple[int, int]:
    """ "288-416" -> (288, 416); "320" -> (320, 320)."""
    low, _, high = text.partition("-")
    if not low.isdecimal() or (high and not high.isdecimal()):
        raise UsageError(f"{option} {text}: expected px as N or LOW-HIGH, such as 288-416")
    numbers = int(low), int(high or low)
    if not 0 < numbers[0] <= numbers[1]:
        raise UsageError(f"{option} {text}: expected 0 < LOW <= HIGH")
    return numbers
