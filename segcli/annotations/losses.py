"""Counts of an export, and of what its format could not represent."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from segcli.plurals import with_count
from segcli.store.image_masks import ImageMasks

_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(slots=True)
class Losses:
    """`losses`: sentences with {} for the count."""

    images: int = 0
    masks: int = 0
    losses: Counter[str] = field(default_factory=Counter)

    def counted(
        self, images: Iterable[ImageMasks], *, keypoints: bool = False, tracks: bool = False
    ) -> Iterator[ImageMasks]:
        """`keypoints` and `tracks`: whether the format has them."""
        for image in images:
            self.images += 1
            self.masks += len(image.masks)
            for mask in image.masks:
                if mask.keypoints is not None and not keypoints:
                    self.lost("the keypoints of {} masks were left out")
                if mask.track_id is not None and not tracks:
                    self.lost("the tracks of {} masks were left out")
            yield image

    def lost(self, sentence: str) -> None:
        self.losses[sentence] += 1

    def text(self, name: str) -> str:
        """A name as a format of text can hold it: bytes that are no UTF-8 are lost, and counted."""
        raw = name.encode("utf-8", "surrogateescape")
        shown = raw.decode("utf-8", "replace")
        if shown.encode() != raw:
            self.lost("{} image names have bytes that are not text, written as U+FFFD")
        return shown

    def xml(self, name: str) -> str:
        """A name as XML can hold it: control characters are lost, and counted."""
        text = self.text(name)
        shown = _NOT_XML.sub("\ufffd", text)
        if shown != text:
            self.lost("{} names have characters that XML does not allow, written as U+FFFD")
        return shown

    def sentences(self) -> list[str]:
        return [with_count(sentence, count) for sentence, count in self.losses.items()]
