"""The evaluation as one self-contained HTML page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from segcli.evaluate.diagnosis import MEANING
from segcli.evaluate.plots import data_uri
from segcli.files import write_text

_TEMPLATE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>segcli eval</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 60rem; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0; display: block; overflow-x: auto }
.words { text-align: left }
td, th { padding: .15rem .8rem; text-align: right; border-bottom: 1px solid #e2e8f0 }
td:first-child, th:first-child { text-align: left }
h2, p, li { overflow-wrap: anywhere }
.key { text-align: left; overflow-wrap: anywhere; min-width: 12rem }
@media (max-width: 40rem) { body { margin: 1rem auto } td, th { padding: .15rem .4rem } }
img { max-width: 100%; margin: .5rem 0 }
</style></head><body>
<h1>Evaluation</h1>
<p>{{ r.pred }} against {{ r.gt }}: {{ r.images }} images, {{ r.objects }} objects,
{{ r.detections }} detections; {{ r.iou }} by {{ r.engine }} {{ r.engine_version }}.</p>
<table><tr>{% for name in r.metrics %}<th>{{ name }}</th>{% endfor %}</tr>
<tr>{% for value in r.metrics.values() %}<td>{{ number(value) }}</td>{% endfor %}</tr></table>
<h2>Matching</h2><ul>{% for line in matching %}<li>{{ line }}</li>{% endfor %}</ul>
<h2>Classes</h2>
<table><tr><th>class</th><th>AP</th><th>AP50</th><th>AP75</th><th>AR</th><th>objects</th>
<th>detections</th>{% if r.errors %}<th>costs, points of AP</th><th>best score</th><th>F1</th>
{% endif %}</tr>
{% for c in classes %}<tr><td>{{ c.name }}</td><td>{{ number(c.ap) }}</td>
<td>{{ number(c.ap50) }}</td><td>{{ number(c.ap75) }}</td><td>{{ number(c.ar) }}</td>
<td>{{ c.objects }}</td><td>{{ c.detections }}</td>
{% if r.errors %}<td>{{ "%.2f" % r.errors.costs[c.name] }}</td>
<td>{{ number(best[c.name].score) }}</td><td>{{ number(best[c.name].f1) }}</td>{% endif %}</tr>
{% endfor %}</table>
{% if r.errors %}<h2>What to improve</h2>
<table><tr><th>error</th><th>points of AP50</th><th>count</th><th></th></tr>
{% for name, e in r.errors.tide.items() %}<tr><td>{{ name }}</td><td>{{ "%.2f" % e.points }}</td>
<td>{{ e.count }}</td><td class="words">{{ meaning[name] }}</td></tr>{% endfor %}</table>
{% for name, picture in pictures.items() %}<img alt="{{ name }}" src="{{ picture }}">{% endfor %}
<h2>Worst images</h2>
<table><tr><th>image</th><th>missed</th><th>missed px</th><th>false</th><th>false px</th></tr>
{% for w in r.worst %}<tr><td class="key">{{ w.key }}</td><td>{{ w.missed }}</td>
<td>{{ "%.0f" % w.missed_px }}</td><td>{{ w.false }}</td><td>{{ "%.0f" % w.false_px }}</td></tr>
{% endfor %}</table>{% endif %}
{% if r.compare %}<h2>Against {{ r.compare.other }}</h2>
<table><tr><th></th><th>this</th><th>other</th><th>difference</th><th>95 % interval</th></tr>
{% for name, d in r.compare.differences.items() %}<tr><td>{{ name }}</td>
<td>{{ number(d.first) }}</td><td>{{ number(d.second) }}</td><td>{{ "%+.4f" % d.difference }}</td>
<td>{{ "%+.4f" % d.low }} to {{ "%+.4f" % d.high }}</td></tr>{% endfor %}</table>{% endif %}
</body></html>
"""


def write_page(
    path: Path, result: dict[str, Any], *, matching: list[str], pictures: dict[str, bytes]
) -> None:
    """`result` as report.as_json gives it. Raises OutputError."""
    from jinja2 import Environment

    errors = result.get("errors")
    costs = errors["costs"] if errors else {}
    html = (
        Environment(autoescape=True)
        .from_string(_TEMPLATE)
        .render(
            r=result,
            matching=matching,
            meaning=MEANING,
            classes=sorted(result["categories"], key=lambda one: -costs.get(one["name"], 0)),
            best={one["name"]: one for one in errors["best_scores"]} if errors else {},
            pictures={name: data_uri(picture) for name, picture in pictures.items()},
            number=lambda value: "–" if value is None else f"{value:.4f}",
        )
    )
    write_text(path, html)
