"""The objects that a model found in one image."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from segcli.annotations.coco_writer import extras
from segcli.errors import UsageError
from segcli.keypoints import Skeleton
from segcli.masks import rle
from segcli.store import MinScores
from segcli.store.image_masks import Mask
from segcli.types import Image, ModelInfo, Segment
from segcli.viz.picture import ShownMask, Style, draw
from segcli.viz.save import encode

_SHOWN_PX = 1280  # the long side of the picture in a notebook


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Result:
    """N objects, best first, as parallel arrays with the values of the output's columns.

    `image` has the decoded pixels, uint8 (H, W, 3) RGB, and `warnings` about the file.
    """

    image: Image
    segments: tuple[Segment, ...]
    info: ModelInfo

    def __len__(self) -> int:
        return len(self.segments)

    @property
    def height(self) -> int:
        return self.image.original_size[0]

    @property
    def width(self) -> int:
        return self.image.original_size[1]

    @property
    def boxes(self) -> NDArray[np.float64]:
        """(N, 4): x, y, w, h in px, as in the column `bbox`."""
        return np.array([one.box for one in self.segments], np.float64).reshape(-1, 4)

    @property
    def scores(self) -> NDArray[np.float64]:
        """(N,), 0 to 1."""
        return np.array([one.score for one in self.segments], np.float64)

    @property
    def labels(self) -> NDArray[np.int64]:
        """(N,): indices into the categories of the model."""
        return np.array([one.label for one in self.segments], np.int64)

    @property
    def categories(self) -> tuple[str, ...]:
        """The name of each object's category."""
        return tuple(self.info.categories[one.label] for one in self.segments)

    @property
    def category_ids(self) -> NDArray[np.int64]:
        """(N,): the data set's own ids, as in the column `category_id`."""
        return np.array([self.info.category_ids[one.label] for one in self.segments], np.int64)

    @property
    def areas(self) -> NDArray[np.int64]:
        """(N,), px."""
        return np.array([one.area for one in self.segments], np.int64)

    @property
    def mask_scores(self) -> NDArray[np.float64]:
        """(N,): the scores of the masks alone, as in the column `mask_score`; NaN without any."""
        return np.array([one.mask_score for one in self.segments], np.float64)

    @property
    def keypoints(self) -> NDArray[np.float64] | None:
        """(N, P, 3): x and y in px and a score of each keypoint of the model; None without any."""
        if self.info.keypoints is None:
            return None
        found = [one.keypoints for one in self.segments]
        return np.array(found, np.float64).reshape(len(found), len(self.info.keypoints), 3)

    @property
    def rles(self) -> tuple[bytes, ...]:
        """COCO compressed counts of the whole image, as in the column `rle`."""
        return tuple(one.rle for one in self.segments)

    @property
    def masks(self) -> Masks:
        """Masks that are decoded on access: `masks[0]` is bool (H, W), `np.asarray(masks)` is bool
        (N, H, W)."""
        return Masks(self.rles, self.height, self.width)

    def above(self, min_score: float | None = None) -> Result:
        """The objects with at least this score.

        By default those from the model's default scores on, as in `viz`, `stats` and a notebook.
        """
        info = self.info
        own = dict(zip(info.categories, info.default_scores or (), strict=False))
        scores = MinScores(info.default_score, own) if min_score is None else MinScores(min_score)
        kept = [one for one in self.segments if one.score >= scores.of(info.categories[one.label])]
        return Result(self.image, tuple(kept), info)

    def to_coco(self, image_id: int = 1) -> list[dict[str, Any]]:
        """Annotations in COCO's format, with a score; masks as RLE. Ids count from 1."""
        return [
            {
                "id": number,
                "image_id": image_id,
                "category_id": self.info.category_ids[one.label],
                "bbox": list(one.box),
                "area": one.area,
                "segmentation": {
                    "size": [self.height, self.width],
                    "counts": one.rle.decode("ascii"),
                },
                "iscrowd": 0,
                "score": one.score,
                **extras(one),
            }
            for number, one in enumerate(self.segments, start=1)
        ]

    def to_supervision(self) -> Any:
        """As `supervision.Detections`. Raises UsageError if that package is not installed."""
        try:
            import supervision
        except ImportError:
            raise UsageError("to_supervision needs supervision: pip install supervision") from None
        left_top, size = self.boxes[:, :2], self.boxes[:, 2:]
        return supervision.Detections(
            xyxy=np.concatenate([left_top, left_top + size], axis=1),
            mask=np.asarray(self.masks),
            confidence=self.scores,
            class_id=self.labels,
            data={"class_name": np.array(self.categories, dtype=str)},
        )

    def draw(self, *, max_side: int | None = None) -> NDArray[np.uint8]:
        """The objects drawn on the image, uint8 (h, w, 3) RGB, as `segcli viz` draws them."""
        info = self.info
        masks = [
            Mask(
                info.category_ids[one.label],
                info.categories[one.label],
                one.score,
                one.box,
                one.area,
                one.rle,
                one.mask_score,
                one.keypoints,
            )
            for one in self.segments
        ]
        shown = [ShownMask(mask) for mask in masks]
        skeletons: dict[str, Skeleton] = {}
        if info.keypoints is not None:
            skeleton = Skeleton(info.keypoints, info.skeleton or ())
            skeletons = dict.fromkeys(info.categories, skeleton)
        style = Style(max_side=max_side, skeletons=skeletons)
        return draw(self.image.pixels, shown, style, image_size=self.image.original_size)

    def _repr_png_(self) -> bytes:
        """The picture in a notebook: the objects of `above()`."""
        return encode(self.above().draw(max_side=_SHOWN_PX), "png")

    def __repr__(self) -> str:
        found = ", ".join(f"{n} {name}" for name, n in Counter(self.categories).most_common())
        name = f"{self.image.key}: " if self.image.key else ""
        return f"<{name}{self.width} x {self.height} px, {found or 'nothing found'}>"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Masks(Sequence[NDArray[np.bool_]]):
    """N masks of one image, stored as RLE and decoded on access."""

    rles: tuple[bytes, ...]
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.rles)

    @overload
    def __getitem__(self, index: int) -> NDArray[np.bool_]: ...
    @overload
    def __getitem__(self, index: slice) -> Masks: ...
    def __getitem__(self, index: int | slice) -> NDArray[np.bool_] | Masks:
        if isinstance(index, slice):
            return Masks(self.rles[index], self.height, self.width)
        return rle.decode(self.rles[index], self.height, self.width)

    def __iter__(self) -> Iterator[NDArray[np.bool_]]:
        return (self[index] for index in range(len(self)))

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """bool (N, H, W)."""
        if copy is False:
            raise ValueError("masks are decoded into a new array, so copy=False is not possible")
        every = np.zeros((len(self), self.height, self.width), np.bool_)
        for place, mask in zip(every, self, strict=True):
            place[:] = mask
        return every if dtype is None else every.astype(dtype)

    def __repr__(self) -> str:
        return f"<{len(self)} masks of {self.height} x {self.width} px>"
