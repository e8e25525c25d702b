"""YOLO labels for segmentation: a text file per image, and data.yaml with the names."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from segcli.annotations.losses import Losses
from segcli.annotations.one_each import Place, write_each
from segcli.annotations.records import CUT_OFF, Annotations, leaves, record, segment
from segcli.annotations.selection import Selection
from segcli.annotations.texts import read_bytes, read_text
from segcli.errors import ImageError, UsageError
from segcli.files import write_bytes
from segcli.images.probe import probe
from segcli.keys import path_from_key
from segcli.masks.contours import Part, Ring, parts
from segcli.masks.even_odd import fill
from segcli.plurals import counted
from segcli.sources import open_source, read
from segcli.store.image_masks import ImageMasks
from segcli.types import Record, Sample, Segment

_CLASSES = ("classes.txt", "_classes.txt", "obj.names")  # names, as labelling programs write them
_YAMLS = ("data.yaml", "data.yml", "dataset.yaml")
_BOX = "{} labels of only a box or a line were left out: neither is an outline"
_COMMAS = "{} lines have decimal commas"
_ORPHANS = "{} labels without an image were left out"
_SHARED = "{} images share their label file with another one; each gets its objects"
_NOT_THERE = (
    "{} images are not in images/ next to labels/, where other tools look for images; "
    "`copy_images` or `link_images` places images there"
)
_BARE = "{} images have no label file and so no objects"

_Pair = tuple[Sample, Path | None]


def read_yolo(folder: Path, images: Path | None = None) -> Annotations:
    """`folder` holds data.yaml (or labels/classes.txt) and labels/, or train/labels/ and the like;
    `images` the pictures: their sizes are needed (None: folder/images, or below `folder`).

    A picture without a label is an image without objects. Raises UsageError, also while the
    records are gone through, naming file and line.
    """
    names = read_names(folder)
    root = images or (folder / "images" if (folder / "images").is_dir() else folder)
    labels = [path for path in sorted(folder.rglob("*.txt")) if path.name not in _CLASSES]
    inside = [path for path in labels if "labels" in path.relative_to(folder).parts[:-1]]
    notes: Counter[str] = Counter()
    pairs = _pairs(folder, root, notes)
    used = {path for _, path in pairs}
    if not inside and not used - {None}:
        raise UsageError(
            f"no label in {folder / 'labels'}; expected YOLO-seg text, one file for each image"
        )
    alone = [path for path in inside if path not in used]
    if alone and not used - {None}:
        raise UsageError(f"no image {alone[0].stem}.* in {root} for the label {alone[0]}")
    if alone:
        notes[f"{_ORPHANS}, such as {str(alone[0].relative_to(folder))!r}"] = len(alone)
    place = {number: i for i, number in enumerate(names)}
    records = _records(pairs, place, notes)
    categories = tuple(names.values()), tuple(names)
    return Annotations(str(root.resolve()), categories, records, notes)


def _pairs(folder: Path, root: Path, notes: Counter[str]) -> list[_Pair]:
    """Every picture with its label, if it has one."""
    try:
        samples = list(open_source(str(root)))
    except UsageError as error:
        raise UsageError(f"{error}; give the folder of the pictures as `images`") from None
    pairs = [(sample, _label_of(sample, folder, root)) for sample in samples]
    counts = Counter(path for _, path in pairs if path is not None)
    if shared := sum(counts[path] > 1 for _, path in pairs if path is not None):
        notes[_SHARED] = shared
    if bare := sum(path is None for _, path in pairs):
        notes[_BARE] = bare
    return pairs


def _label_of(sample: Sample, folder: Path, root: Path) -> Path | None:
    """In labels/ under the same relative path; where the last folder "images" of the picture's
    path is "labels"; or next to the picture."""
    name = os.path.splitext(path_from_key(sample.key))[0] + ".txt"
    beside = root / name
    before, images, after = str(beside).rpartition(f"{os.sep}images{os.sep}")
    swapped = Path(f"{before}{os.sep}labels{os.sep}{after}") if images else beside
    for path in (folder / "labels" / name, folder / label_place(name), swapped, beside):
        if path.is_file() and path.name not in _CLASSES:
            return path
    return None


def _records(pairs: list[_Pair], place: dict[int, int], notes: Counter[str]) -> Iterator[Record]:
    is_outlined = False
    for sample, path in pairs:
        try:
            header = probe(read(sample), key=sample.key)
        except ImageError as error:
            raise UsageError(f"{sample.path}: {error}") from None
        size = header.height, header.width
        segments = [] if path is None else list(_segments(path, place, size, notes))
        is_outlined |= bool(segments)
        yield record(path_from_key(sample.key), *size, segments, notes)
    if notes[_BOX] and not is_outlined:
        raise UsageError(
            f"{counted(notes[_BOX], 'box')}, no outline: these are labels for detection, without "
            "masks"
        )


def _segments(
    path: Path, place: dict[int, int], size: tuple[int, int], notes: Counter[str]
) -> Iterator[Segment]:
    for number, line in enumerate(read_text(path).splitlines(), 1):
        words = line.split()
        if not words:
            continue
        try:
            found = _numbers(words, notes)
            label = _label(words[0], place)
            if len(found) in (4, 5):
                notes[_BOX] += 1
                continue
            score = found.pop() if len(found) % 2 else 1.0
            points = np.array(found, np.float64).reshape(-1, 2) * (size[1], size[0])
            text = fill(points, *size)
            if leaves(points[:, 0].tolist(), points[:, 1].tolist(), *size):
                notes[CUT_OFF] += 1
            yield segment(label, text, *size, score)
        except (ValueError, UsageError) as error:
            raise UsageError(f"{path}, line {number}: {error}") from None


def _numbers(words: list[str], notes: Counter[str]) -> list[float]:
    """What follows the class: x y x y x y ..., sides from 0 to 1, at times a score last."""
    sides = words[1:]
    if any("," in word for word in sides):
        if not all(word.count(",") <= 1 for word in sides):
            raise UsageError("numbers separated by commas; expected spaces")
        notes[_COMMAS] += 1
    try:
        return [float(word.replace(",", ".")) for word in sides]
    except ValueError as error:
        raise UsageError(f"{error}; expected numbers with blanks between them") from None


def _label(word: str, place: dict[int, int]) -> int:
    try:
        number = float(word)
    except ValueError:
        raise UsageError(f"class {word!r}; expected a whole number") from None
    label = place.get(int(number)) if number.is_integer() else None
    if label is None:
        raise UsageError(f"class {word}, but data.yaml names {len(place)}")
    return label


def data_yaml(content: Mapping[str, Any]) -> str:
    """The text of a data.yaml that a YAML parser reads back exactly.

    PyYAML writes some line breaks of Unicode as they are, and reads them back as spaces.
    """
    text: str = yaml.safe_dump(dict(content), allow_unicode=True, sort_keys=False)
    if yaml.safe_load(text) != content:
        text = yaml.safe_dump(dict(content), sort_keys=False)
    return text


def read_names(folder: Path) -> dict[int, str]:
    """The names of the classes by number, as a YAML parser reads them from data.yaml; where there
    is none, the lines of classes.txt. Raises UsageError."""
    paths = [folder / name for name in _YAMLS if (folder / name).is_file()]
    paths = paths or sorted([*folder.glob("*.yaml"), *folder.glob("*.yml")])
    if not paths:
        lists = [p for place in (folder, folder / "labels") for name in _CLASSES
                 if (p := place / name).is_file()]  # fmt: skip
        if not lists:
            raise UsageError(f"{folder} has no data.yaml; expected the names of the classes there")
        lines = [line.strip() for line in read_text(lists[0]).splitlines()]
        return _checked(dict(enumerate(line for line in lines if line)), lists[0])
    path = paths[0]
    try:
        document = yaml.safe_load(read_bytes(path))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"{path} is not valid YAML: {reason}") from None
    if isinstance(document, dict) and "kpt_shape" in document:
        raise UsageError(f"{path} has a kpt_shape: these are labels of poses, not of outlines")
    names = document.get("names") if isinstance(document, dict) else None
    if isinstance(names, list):
        names = dict(enumerate(names))
    if not isinstance(names, dict) or not names:
        raise UsageError(f'{path} has no "names:" of the classes')
    return _checked(names, path)


def _checked(names: dict[Any, Any], path: Path) -> dict[int, str]:
    try:
        found = {int(number): "" if name is None else str(name) for number, name in names.items()}
    except (TypeError, ValueError):
        raise UsageError(f"{path}: the names of the classes must have numbers") from None
    if not all(0 <= class_number < 2**31 for class_number in found):
        raise UsageError(f"{path}: the numbers of the classes must be from 0 to {2**31 - 1}")
    texts = set(found.values())
    if len(texts) < len(names) or "" in texts or any(len(name.split()) == 0 for name in texts):
        raise UsageError(f"{path}: the names of the classes must differ, and none be empty")
    return dict(sorted(found.items()))


def image_place(name: str) -> str:
    """Where readers of YOLO expect an image below the data set: in images/, unless one of its own
    folders is called so."""
    return name if "images" in name.split("/")[:-1] else f"images/{name}"


def label_place(name: str) -> str:
    """The same path with "labels" in place of the last folder "images", which is their rule."""
    if name.startswith("/"):
        return name  # it has no place below a data set
    before, _, after = f"/{image_place(name)}".rpartition("/images/")
    return f"{before}/labels/{after}".lstrip("/")


def write_yolo(
    selection: Selection, out: Path, *, images: Path | None, place: Place | None = None
) -> Losses:
    """labels/NAME.txt, a line "class x y x y ..." (sides from 0 to 1) per mask, and data.yaml.

    `place` puts the images into images/ next to it; then data.yaml has the absolute path of `out`,
    because readers take a relative one from their own folder. A mask of several parts, or with
    holes, is one polygon whose rings are joined by doubled lines of no width: nothing is lost for a
    reader that fills by the even-odd rule.
    """
    names = selection.names
    tops: set[str] = set()
    index = {name: i for i, name in enumerate(names)}

    def lines(image: ImageMasks, tally: Losses) -> bytes:
        own = image_place(image.name)
        tops.add(own.partition("/")[0])
        if place is not None:
            place(image, out / own, tally)
        elif not os.path.lexists(out / own):
            tally.lost(_NOT_THERE)
        text = []
        for mask in image.masks:
            rings = _rings(parts(mask.rle, *image.size))
            if len(rings) > 1:
                tally.lost("{} masks of several parts or with holes became one joined polygon")
            scale = (image.width, image.height)
            numbers = [f"{side / scale[i]:.9g}" for c in _joined(rings) for i, side in enumerate(c)]
            text.append(f"{index[mask.category]} {' '.join(numbers)}\n")
        return "".join(text).encode()

    tally = write_each(selection, out, ".txt", lines, at=label_place)
    where = "images" if tops <= {"images"} else "."
    if images is not None and place is None:
        where = tally.text(str(images))
    root = "." if place is None else tally.text(str(out.resolve()))
    content = {"path": root, "train": where, "val": where, "names": dict(enumerate(names))}
    text = data_yaml(content)
    write_bytes(out / "data.yaml", text.encode())
    return tally


def _rings(found: list[Part]) -> list[Ring]:
    return [ring for part in found for ring in (part.outer, *part.holes)]


def _joined(rings: list[Ring]) -> Ring:
    """One ring: out to each further ring, around it, and back the same way."""
    first = rings[0]
    joined = [*first]
    for ring in rings[1:]:
        joined += [first[0], *ring, ring[0]]
    return joined + [first[0]] if len(rings) > 1 else joined
