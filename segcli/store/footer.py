"""The settings that a run writes into every footer, and the differences of two runs."""

from __future__ import annotations

import json
import shlex
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcli.cloud.urls import shown
from segcli.keys import prefix_of, prefixed

if TYPE_CHECKING:
    from segcli.store.schema import Categories

FOOTER_KEY = b"segcli"
ROOT = "source_root"
"""The compared fact that is judged per key prefix, and may differ for an archive that moved."""

_OPTIONS = frozenset(
    {
        *("min_score", "max_masks", "categories", "precision", "runtime", "max_pixels", "model"),
        *("class_scores", "slice", "zones", "skip_static", "static_threshold", "static_age"),
        *("partition_by", "time_pattern"),
    }
)
_WORDS = {
    "weights_sha256": "weights (sha256)",
    "results_version": "version of the results (this segcli computes differently)",
}


@dataclass(frozen=True, slots=True)
class Settings:
    """JSON values. `compared` must be equal for rows to join an output; `recorded` is only shown.

    `compared["source_root"]` identifies the archive. `key_prefix` is what keeps the keys of
    several archives apart. `recorded["command"]`, a list of words, is used to print the command
    for a new output. `shard` is "I/N" when the run is one shard (`ShardSpec`) of several.
    `sources` maps key prefixes to source roots in a run over several; each part is of one (`of`).
    """

    compared: Mapping[str, Any]
    recorded: Mapping[str, Any]
    key_prefix: str = ""
    shard: str | None = None
    sources: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # The values of another run come back from JSON, where a tuple is a list: compare as such.
        for name in ("compared", "recorded"):
            object.__setattr__(self, name, json.loads(json.dumps(dict(getattr(self, name)))))

    @property
    def roots(self) -> dict[str, str]:
        """The source roots by the prefix of keys, which ends with a slash or is empty."""
        if self.sources:
            return dict(self.sources)
        return {prefixed("", self.key_prefix): str(self.compared.get(ROOT))}

    def of(self, key: str) -> Settings:
        """The settings for a part whose keys are of the same source as `key`."""
        if not self.sources:
            return self
        prefix = prefix_of(key, self.sources)
        compared = {**self.compared, ROOT: self.sources[prefix]}
        return replace(self, compared=compared, key_prefix=prefix, sources={})


@dataclass(frozen=True, slots=True)
class Footer:
    """The metadata in the footer of a part; the counts are those of the part.

    `redone` is `recorded` of the run that last rewrote some images of the part, if any did.
    `begun` and `ended`: from when to when the part's run worked on it, in seconds since 1970,
    without loading the model; None where that is not known. Rewriting changes neither.
    `complete` are hashes of 8 bytes, of archives and videos that need not be listed again.
    `tracking` is where the tracks of all cameras ended (JSON values), in one part of an output.
    `tracked`: all images of the part have been listed for tracks. Of these, `late` ones came after
    later images of their camera had been tracked, which no finished pass has reported yet, and runs
    have processed those with the keys `rewritten` again, so that their masks are in no track.
    """

    settings: Settings
    category_names: tuple[str, ...]
    category_ids: tuple[int, ...]
    schema_version: int
    images: int = 0
    failed: int = 0
    masks: int = 0
    static: int = 0
    redone: Mapping[str, Any] = field(default_factory=dict)
    begun: float | None = None
    ended: float | None = None
    moved_to: tuple[str, ...] = ()
    complete: frozenset[bytes] = frozenset()
    tracking: Mapping[str, Any] | None = None
    tracked: bool = False
    late: int = 0
    rewritten: tuple[str, ...] = ()

    @property
    def roots(self) -> tuple[str, ...]:
        """Where the images of the part are or have been."""
        return (str(self.settings.compared.get(ROOT)), *self.moved_to)

    @property
    def categories(self) -> Categories:
        """Names and ids."""
        return self.category_names, self.category_ids

    def to_json(self) -> bytes:
        values = {name: getattr(self, name) for name in self.__slots__ if name != "settings"}
        values["complete"] = b64encode(b"".join(sorted(self.complete))).decode()
        settings = (name for name in self.settings.__slots__ if name != "sources")
        values |= {name: getattr(self.settings, name) for name in settings}
        return json.dumps(values).encode()

    @staticmethod
    def from_json(text: bytes) -> Footer:
        """Raises ValueError, KeyError or TypeError if segcli did not write the text."""
        values = json.loads(text)
        settings = Settings(
            values["compared"], values["recorded"], values["key_prefix"], values.get("shard")
        )
        return Footer(
            settings=settings,
            category_names=tuple(values["category_names"]),
            category_ids=tuple(values["category_ids"]),
            schema_version=values["schema_version"],
            images=values["images"],
            failed=values["failed"],
            masks=values["masks"],
            static=values.get("static", 0),
            redone=values["redone"],
            begun=values.get("begun"),
            ended=values.get("ended"),
            moved_to=tuple(values.get("moved_to", ())),
            complete=_hashes(values.get("complete", "")),
            tracking=values.get("tracking"),
            tracked=values.get("tracked", False),
            late=values.get("late", 0),
            rewritten=tuple(values.get("rewritten", ())),
        )


def _hashes(text: str) -> frozenset[bytes]:
    data = b64decode(text)
    return frozenset(data[i : i + 8] for i in range(0, len(data), 8))


def differences(
    there: Footer, now: Footer, *, words: tuple[str, str] = ("there", "now")
) -> list[str]:
    """The settings that keep two runs from sharing an output, except the source root.

    `words` follow the values of the two.
    """
    pairs = {
        name: (there.settings.compared.get(name), now.settings.compared.get(name))
        for name in sorted({*there.settings.compared, *now.settings.compared} - {ROOT})
    }
    pairs |= _static(pairs.pop("static", (None, None)))
    for name in {"runtime", "slice", "class_scores", "zones"} & {*pairs}:
        old, new = pairs[name]
        if old != new:
            texts = _as_given(name, old, there), _as_given(name, new, now)
            pairs[name] = texts if texts[0] != texts[1] else (old, new)
    pairs["schema"] = (there.schema_version, now.schema_version)
    pairs["the model's categories"] = (
        _numbered(there),
        _numbered(now),
    )
    return [
        f"{_label(name)}: {_compared(old, new, words)}"
        for name, (old, new) in pairs.items()
        if old != new
    ]


def _static(pair: tuple[Any, Any]) -> dict[str, tuple[Any, Any]]:
    """How two runs treat static images, as the options that ask for it."""
    old, new = pair
    if not old or not new:
        return {"skip_static": ("on" if old else "off", "on" if new else "off")}
    names = {"threshold": "static_threshold", "max_age_s": "static_age"}
    return {
        names.get(fact, f"static {fact}"): (old.get(fact), new.get(fact))
        for fact in sorted({*old, *new})
    }


def _as_given(name: str, value: Any, footer: Footer) -> str | None:
    """A setting as it is given to a run, which may leave out a part of its facts."""
    if name == "runtime":
        return value or "torch"  # which the settings leave out
    if value is None:
        return None
    if name == "slice":
        return f"{value['side']} px"
    if name == "class_scores":
        return ", ".join(f"{category} {score:g}" for category, score in value.items())
    path = footer.settings.recorded.get("zones_file", {}).get("path", "a file")
    return f"{Path(path).name[-30:]} (sha256 {value['sha256'][:8]})"


def _compared(old: Any, new: Any, words: tuple[str, str]) -> str:
    if isinstance(old, list) and isinstance(new, list):
        # Long lists differ in few places, so only these are shown.
        old, new = [x for x in old if x not in new] or old, [x for x in new if x not in old] or new
    return f"{_shown(old)} {words[0]}, {_shown(new)} {words[1]}"


def _numbered(footer: Footer) -> list[str]:
    pairs = zip(footer.category_names, footer.category_ids, strict=True)
    return [f"{name} ({number})" for name, number in pairs]


def _label(name: str) -> str:
    if name in _OPTIONS:
        return f"`{name}`"
    return _WORDS.get(name, name.replace("_", " "))


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."


def fresh_path(path: Path) -> Path:
    """The first free name for a new output next to `path`: masks-2.parquet."""
    number = 2
    while (fresh := path.with_name(f"{path.stem}-{number}{path.suffix}")).exists():
        number += 1
    return fresh


def new_command(path: Path, settings: Settings) -> str:
    """The command of the run with a new output, or just the option."""
    fresh = shown(fresh_path(path))
    words = settings.recorded.get("command") or []
    words = shlex.split(words) if isinstance(words, str) else list(words)
    return shlex.join(_with_output(words, fresh)) if words else f"`out={fresh!r}`"


def _with_output(words: Sequence[str], fresh: str) -> list[str]:
    new = list(words)
    for i, word in enumerate(words):
        if word == "--out" and i + 1 < len(words):
            new[i + 1] = fresh
            return new
        if word.startswith("--out="):
            new[i] = f"--out={fresh}"
            return new
    return [*new, "--out", fresh]
