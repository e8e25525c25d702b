"""`segcli train`: train a model on images with COCO annotations."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from segcli.cli.data_sets import Given, sources_of
from segcli.cli.fetching import Fetch, fetch_for
from segcli.cli.options import Model, category_names
from segcli.cli.output_checks import refuse_places
from segcli.cli.quantities import factor_range, pixel_range
from segcli.errors import UsageError

if TYPE_CHECKING:
    from segcli.train.sources import Sources

Images = Annotated[
    list[Path] | None,
    typer.Option(help="A folder of images; repeat it, with --ann, for more data sets."),
]
Ann = Annotated[
    list[Path] | None, typer.Option(help="The COCO JSON of the --images in the same position.")
]
Data = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE.toml",
        help="A file that lists all data sets; replaces --images, --ann, --only-categories, "
        "--categories, --val-images and --val-ann.",
    ),
]
Out = Annotated[Path, typer.Option(help="The folder for checkpoints, the log and the model.")]
Weights = Annotated[
    str | None,
    typer.Option(
        metavar="FILE|FAMILY/VARIANT",
        help="Start from these weights, segcli's or a published checkpoint; by default those that "
        "predict uses for the model, or an ImageNet body.",
    ),
]
FromScratch = Annotated[bool, typer.Option("--from-scratch", help="Start from random weights.")]
Repeats = Annotated[
    int | None,
    typer.Option(
        min=1,
        help="How often an epoch shows each image; by default once, or more often if there are "
        "fewer than 200.",
    ),
]
Rescale = Annotated[
    bool,
    typer.Option(
        "--rescale", help="Stretch annotations whose size differs from that of their image."
    ),
]
ValEvery = Annotated[int, typer.Option(min=1, help="Validate every this many epochs.")]
Patience = Annotated[
    int,
    typer.Option(
        min=0, help="Stop after this many validations without a better AP; 0 never stops."
    ),
]
Only = Annotated[
    list[str] | None,
    typer.Option(
        metavar="all|NAME,NAME",
        help="The categories that the --ann in the same position annotates exhaustively; by "
        "default all. Unlabelled objects of other categories do not count as background.",
    ),
]
Categories = Annotated[
    str | None,
    typer.Option(metavar="NAME,NAME", help="Train these categories; by default all in --ann."),
]
Size = Annotated[
    str,
    typer.Option(
        metavar="N|LOW-HIGH",
        help="The short side of training images in px, or a range from which it is drawn.",
    ),
]
TestSize = Annotated[
    str | None,
    typer.Option(
        metavar="SHORT-LONG",
        help="The image size for prediction in px; by default that of the variant.",
    ),
]


Epochs = Annotated[int, typer.Option(min=1, help="The number of epochs.")]
BatchSize = Annotated[int, typer.Option(min=1, help="The number of images per step.")]
Rate = Annotated[float, typer.Option(help="The maximum learning rate.")]
Optimizer = Annotated[Literal["adamw", "sgd"], typer.Option(help="The optimizer.")]
Schedule = Annotated[
    Literal["cosine", "step", "flat"],
    typer.Option(
        help="How the learning rate falls; flat keeps it until the last fifth, and until then "
        "--resume accepts other --epochs."
    ),
]
Repeat = Annotated[
    float,
    typer.Option(
        metavar="SHARE",
        help="Repeat images of categories that are in fewer than this share of the images "
        "(repeat-factor sampling); 0 repeats none.",
    ),
]
Norms = Annotated[
    Literal["learn", "fixed"],
    typer.Option(
        help="Whether batch norms learn the statistics of their inputs or keep those of the "
        "initial weights (fixed), which is better for few images per device."
    ),
]
SaveEvery = Annotated[int, typer.Option(min=1, help="Save a checkpoint every this many steps.")]
Warmup = Annotated[
    int,
    typer.Option(min=1, help="The number of warm-up steps, at most a tenth of all steps."),
]
Augment = Annotated[
    bool, typer.Option(help="Flip, scale and recolour images, and copy objects between them.")
]
Jitter = Annotated[
    str,
    typer.Option(
        metavar="LOW-HIGH",
        help="Scale images by a random factor of this range; 0.1-2 is large-scale jitter.",
    ),
]
Freeze = Annotated[
    int | None,
    typer.Option(
        min=0,
        help="Do not train the first N stages of the body; by default the first one if the "
        "training starts from an ImageNet body, else those that the model's authors freeze.",
        metavar="N",
    ),
]
Accumulate = Annotated[
    int,
    typer.Option(
        min=1,
        help="Learn from a batch in this many parts, whose gradients are added; saves memory.",
    ),
]
Device = Annotated[
    str,
    typer.Option(
        help="The device: auto, cpu, cuda or cuda:N; several, as in cuda:0,cuda:1, or all GPUs "
        "(all) share each batch."
    ),
]
Precision = Annotated[
    Literal["auto", "float32", "bfloat16"], typer.Option(help="The precision of the convolutions.")
]
Workers = Annotated[
    int,
    typer.Option(
        min=1,
        help="The number of threads that prepare images per device; on a GPU, processes.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, help="The seed of all random numbers.")]
Resume = Annotated[bool, typer.Option("--resume", help="Continue from the last checkpoint.")]
ValImages = Annotated[Path | None, typer.Option(help="The images for validation.")]
ValAnn = Annotated[Path | None, typer.Option(help="The COCO JSON of --val-images.")]

_JITTER = "0.7-1.3"


def train(
    out: Out,
    images: Images = None, ann: Ann = None, data: Data = None,
    model: Model = None, weights: Weights = None, fetch: Fetch = False,
    from_scratch: FromScratch = False,
    val_images: ValImages = None, val_ann: ValAnn = None,
    val_every: ValEvery = 1, patience: Patience = 0,
    only_categories: Only = None, categories: Categories = None, rescale: Rescale = False,
    epochs: Epochs = 12, batch_size: BatchSize = 4, accumulate: Accumulate = 1, lr: Rate = 3e-4,
    optimizer: Optimizer = "adamw", schedule: Schedule = "cosine", warmup: Warmup = 200,
    repeats: Repeats = None, repeat_threshold: Repeat = 0.0, save_every: SaveEvery = 200,
    image_size: Size = "288-416", test_size: TestSize = None, augment: Augment = True,
    jitter: Jitter = _JITTER, freeze: Freeze = None, norms: Norms = "learn",
    device: Device = "auto", precision: Precision = "auto", workers: Workers = 2, seed: Seed = 0,
    resume: Resume = False,
) -> None:  # fmt: skip
    """Train a model on images with COCO annotations; --resume continues from the last checkpoint.

    The folder OUT contains last.pt (the checkpoint), log.jsonl, curves.png and, at the end,
    model.safetensors for predict; with validation images also val.jsonl, the best and the last
    weights, and 20 pictures.
    """
    from segcli.cli.training import TrainingOptions, run
    from segcli.train.augment import Augmentation
    from segcli.train.recipe import Recipe

    _check(out, lr, resume=resume)
    if from_scratch:
        _refuse_from_scratch(norms, freeze)
    names = category_names(categories)
    given = Given(data, images, ann, only_categories, names, val_images, val_ann)
    sources, scale = sources_of(given), factor_range(jitter, "--jitter")
    _refuse_without_effect(sources, val_every, patience, None if augment else jitter)
    plan = TrainingOptions(
        sources=sources, out=out, model=model, weights=weights, from_scratch=from_scratch,
        test_size=_size(test_size), repeat_threshold=repeat_threshold, repeats=repeats,
        rescale=rescale, val_every=val_every, patience=patience, device=device,
        precision=precision, resume=resume,
    )  # fmt: skip
    recipe = Recipe(
        epochs=epochs, batch_size=batch_size, parts=accumulate, optimizer=optimizer,
        schedule=schedule, rate=lr, warmup=warmup, seed=seed, workers=workers,
        save_every=save_every, frozen=freeze, norms=norms,
        short=pixel_range(image_size, "--image-size"),
        augmentation=Augmentation(scale=scale) if augment else Augmentation.none(),
    )  # fmt: skip
    if fetch:
        fetch_for(model, weights)
    run(plan, recipe)


def _size(text: str | None) -> tuple[int, int] | None:
    return None if text is None else pixel_range(text, "--test-size")


def _check(out: Path, rate: float, *, resume: bool) -> None:
    """Raises UsageError before anything is loaded or overwritten."""
    refuse_places({"--out": out})
    if not resume and (out / "last.pt").exists():
        raise UsageError(
            f"{out}/last.pt is from an earlier training; --resume continues it, another --out "
            "keeps it"
        )
    if not 0 < rate < math.inf:
        raise UsageError(f"--lr {rate:g}: expected a number above 0, such as 3e-4")


def _refuse_from_scratch(norms: str, freeze: int | None) -> None:
    """Options that keep initial weights as they are."""
    if norms == "fixed":
        raise UsageError(
            "--norms fixed keeps the statistics of the initial weights, and --from-scratch starts "
            "without any; leave out one of them"
        )
    if freeze:
        raise UsageError(
            f"--freeze {freeze} keeps the initial weights of {freeze} stages, and --from-scratch "
            "starts without any; leave out one of them"
        )


def _refuse_without_effect(
    sources: Sources, val_every: int, patience: int, unused_jitter: str | None
) -> None:
    """`unused_jitter`: that of a training without augmentation."""
    if unused_jitter not in (None, _JITTER):
        raise UsageError(
            f"--jitter {unused_jitter} is a part of the augmentation, which --no-augment turns "
            "off; leave out one of them"
        )
    for option, given in (("--val-every", val_every > 1), ("--patience", patience > 0)):
        if given and not sources.val:
            raise UsageError(
                f"{option} needs validation images; give --val-images and --val-ann, or [[val]] in "
                "the file of --data"
            )
