"""The HTML page, rendered with Jinja2.

Everything is inside: styles, script, pictures as data URIs. A content-security policy names the
two by their hashes and forbids everything else, so that a name that slipped through would do
nothing.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, select_autoescape
from jinja2.loaders import FunctionLoader
from markupsafe import Markup

from segcli.report.charts import grouped
from segcli.viz.palette import as_hex, colour_of


def render(values: Mapping[str, Any], category_ids: set[int]) -> str:
    """The HTML of a report; `values` as report.html.j2 names them."""
    environment = Environment(
        loader=FunctionLoader(_read),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["zip"] = zip
    environment.filters |= {"number": number, "percent": percent}
    style = _read("report.css") + _colours(category_ids)
    script = _read("report.js")
    policy = (
        f"default-src 'none'; img-src data:; style-src '{_hash(style)}'; "
        f"script-src '{_hash(script)}'; base-uri 'none'; form-action 'none'"
    )
    # Markup: our own files, in which nothing of a user's stands.
    return environment.get_template("report.html.j2").render(
        **values, style=Markup(style), script=Markup(script), policy=policy
    )


def _read(name: str) -> str:
    return (files("segcli.report") / "templates" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _colours(category_ids: set[int]) -> str:
    """`.kN` sets the colour of category N: as rules, for the policy forbids style attributes."""
    return "".join(f".k{i}{{--k:{as_hex(colour_of(i))}}}\n" for i in sorted(category_ids))


def number(value: float | None, digits: int = 3) -> str:
    """With thin groups of three; a dash for None."""
    if value is None:
        return "–"
    if isinstance(value, int) or abs(value) >= 1000:
        return grouped(value)
    return f"{value:.{digits}g}"


def percent(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f} %" if 0 < value < 0.1 else f"{100 * value:.0f} %"
