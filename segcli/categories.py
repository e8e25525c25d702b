"""Names and ids of the COCO categories, and of the categories of small models."""

from collections.abc import Iterable

_COCO = """\
1 person|2 bicycle|3 car|4 motorcycle|5 airplane|6 bus|7 train|8 truck|9 boat|10 traffic light|\
11 fire hydrant|13 stop sign|14 parking meter|15 bench|16 bird|17 cat|18 dog|19 horse|20 sheep|\
21 cow|22 elephant|23 bear|24 zebra|25 giraffe|27 backpack|28 umbrella|31 handbag|32 tie|\
33 suitcase|34 frisbee|35 skis|36 snowboard|37 sports ball|38 kite|39 baseball bat|\
40 baseball glove|41 skateboard|42 surfboard|43 tennis racket|44 bottle|46 wine glass|47 cup|\
48 fork|49 knife|50 spoon|51 bowl|52 banana|53 apple|54 sandwich|55 orange|56 broccoli|57 carrot|\
58 hot dog|59 pizza|60 donut|61 cake|62 chair|63 couch|64 potted plant|65 bed|67 dining table|\
70 toilet|72 tv|73 laptop|74 mouse|75 remote|76 keyboard|77 cell phone|78 microwave|79 oven|\
80 toaster|81 sink|82 refrigerator|84 book|85 clock|86 vase|87 scissors|88 teddy bear|\
89 hair drier|90 toothbrush"""

COCO_IDS: tuple[int, ...] = tuple(int(c.split(" ", 1)[0]) for c in _COCO.split("|"))
"""The 80 ids of the COCO detection task: 1..90 with gaps."""

COCO_NAMES: tuple[str, ...] = tuple(c.split(" ", 1)[1] for c in _COCO.split("|"))
"""The names of these categories, in the order of the ids."""

STREET_NAMES: tuple[str, ...] = ("person", "bicycle", "car", "motorcycle", "bus", "truck")
"""The categories of the shipped models."""

STREET_IDS: tuple[int, ...] = tuple(COCO_IDS[COCO_NAMES.index(name)] for name in STREET_NAMES)

EVERYDAY_NAMES: tuple[str, ...] = (*STREET_NAMES, "cat", "dog", "horse", "sheep", "cow")
"""People, vehicles and the animals that live with people."""

EVERYDAY_IDS: tuple[int, ...] = tuple(COCO_IDS[COCO_NAMES.index(name)] for name in EVERYDAY_NAMES)

# Different names of COCO, LVIS and Pascal VOC for the same category; underscores do not count.
_SAME = """\
motorcycle|motorbike; airplane|aeroplane; car|car (automobile); bus|bus (vehicle); \
train|train (railroad vehicle); fire hydrant|fireplug; tie|necktie; skis|ski; \
wine glass|wineglass; orange|orange (fruit); donut|doughnut; couch|sofa; \
potted plant|pottedplant; dining table|diningtable; tv|television set|tvmonitor; \
laptop|laptop computer; mouse|mouse (computer equipment); remote|remote control; \
keyboard|computer keyboard; cell phone|cellular telephone; microwave|microwave oven; \
hair drier|hair dryer"""

_GROUP = {name: group.split("|")[0] for group in _SAME.split("; ") for name in group.split("|")}


def known_name(given: str, known: Iterable[str]) -> str | None:
    """The category in `known` that `given` refers to, or None.

    This is the name itself; otherwise the only name that differs just in case, hyphens and
    underscores; otherwise the name that COCO, LVIS or Pascal VOC use for the same category.

    >>> known_name("television_set", ("person", "tv"))
    'tv'
    """
    names = tuple(known)
    if given in names:
        return given
    for form in (_plain, _group):
        alike = [name for name in names if form(name) == form(given)]
        if len(alike) == 1:
            return alike[0]
    return None


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _group(name: str) -> str:
    return _GROUP.get(_plain(name), _plain(name))
