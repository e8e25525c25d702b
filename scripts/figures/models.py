"""Write README's table of models: python -m scripts.figures.models.

It is made of what the families state, so that it says the same as `segcli models` on a machine that
has only the weights that ship. The table of evidence in docs/methods.md is written as well.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from scripts.figures import families_table
from segcli.models import registry

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
BEGIN, END = "<!-- models -->", "<!-- /models -->"
_WEIGHTS = {
    "shipped": "shipped",
    "fetch": "`segcli weights fetch`",
    "browser": "by hand: `fetch` prints the link",
    "train": "none published: `segcli train`",
}


class Group(NamedTuple):
    """Models of a family whose weights are had in the same way."""

    family: str
    state: str
    classes: int
    licence: str
    keypoints: bool = False


def groups() -> dict[Group, list[tuple[float, str]]]:
    """AP (0: none published) and variant, of the families of this repository."""
    found: dict[Group, list[tuple[float, str]]] = {}
    for family in registry.families().values():
        if not (ROOT / f"plugins/segcli_{family.name}").is_dir():
            continue
        ships = registry.shipped(family.name)
        for variant, info in family.variants.items():
            published = family.published.get(variant)
            state = "train" if published is None else "browser" if published.by_hand else "fetch"
            state = "shipped" if variant in ships else state
            licence = published.licence if published else ""
            kind = info.keypoints is not None
            group = Group(family.name, state, len(info.categories), licence, kind)
            ap = published and (published.keypoint_ap if kind else published.ap)
            found.setdefault(group, []).append((ap or 0, variant))
    return found


def table() -> str:
    """The rows, in the order of `segcli models`: what ships, then by the best AP."""
    lines = ["| models | mask AP | classes | licence | weights |", "|---|---|---|---|---|"]
    order = list(_WEIGHTS)
    found = sorted(
        groups().items(),
        key=lambda item: (
            order.index(item[0].state), item[0].keypoints, -max(ap for ap, _ in item[1]),
            item[0].family != "maskrcnn",
            item[0],
        ),
    )  # fmt: skip
    for group, members in found:
        members.sort(key=lambda member: (-member[0], member[1]))
        names = ", ".join(f"`{group.family}/{variant}`" for _, variant in members)
        aps = ", ".join(f"{ap:.1f}" for ap, _ in members if ap)
        aps += " (keypoints)" if group.keypoints else ""
        weights = _WEIGHTS[group.state]
        lines.append(f"| {names} | {aps} | {group.classes} | {group.licence} | {weights} |")
    return "\n".join(lines)


def main() -> None:
    text = README.read_text()
    block = f"{BEGIN}\n{table()}\n{END}"
    README.write_text(re.sub(f"{BEGIN}.*{END}", lambda found: block, text, flags=re.DOTALL))
    families_table.main()


if __name__ == "__main__":
    main()
