"""The description of a family, without importing torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

from segcli.categories import (
    COCO_IDS,
    COCO_NAMES,
    EVERYDAY_IDS,
    EVERYDAY_NAMES,
    STREET_IDS,
    STREET_NAMES,
)
from segcli.keypoints import PERSON as PERSON_KEYPOINTS
from segcli.keypoints import PERSON_SKELETON
from segcli.plugin import Family, Published
from segcli.types import ModelInfo, Resize

Categories = tuple[tuple[str, ...], tuple[int, ...]]  # names and COCO's ids
COCO: Categories = (COCO_NAMES, COCO_IDS)
STREET: Categories = (STREET_NAMES, STREET_IDS)
PERSON: Categories = (("person",), (1,))
EVERYDAY: Categories = (EVERYDAY_NAMES, EVERYDAY_IDS)


def deferred(target: str) -> Callable[..., Any]:
    """A function that imports and calls `target`, "module:function".

    Every command imports the family modules, so they leave torch to the modules that need it.
    """
    module, _, function = target.partition(":")

    def call(*arguments: Any, **options: Any) -> Any:
        return getattr(import_module(module), function)(*arguments, **options)

    return call


def coco_family(
    name: str,
    variants: Mapping[str, Resize],
    *,
    stride: int = 32,
    categories: Mapping[str, Categories] | None = None,
    published: Mapping[str, Published] | None = None,
    bodies: Mapping[str, str] | None = None,
    requires: Mapping[str, str] | None = None,
    keypoints: frozenset[str] = frozenset(),
) -> Family:
    """A family whose variants find the 80 categories of COCO, or what `categories` says of them.

    `variants`: name -> how images are resized. `build` and `convert` are the functions of these
    names in the package's modules `variants` and `convert`. `keypoints`: the variants that find the
    17 keypoints of people.
    """
    own = categories or {}
    return Family(
        name=name,
        variants={
            variant: ModelInfo(
                name,
                variant,
                *own.get(variant, COCO),
                resize,
                stride=stride,
                keypoints=PERSON_KEYPOINTS if variant in keypoints else None,
                skeleton=PERSON_SKELETON if variant in keypoints else None,
            )
            for variant, resize in variants.items()
        },
        build=deferred(f"segcli_{name}.variants:build"),
        convert=deferred(f"segcli_{name}.convert:convert"),
        published=published or {},
        bodies=bodies or {},
        requires=requires or {},
    )
