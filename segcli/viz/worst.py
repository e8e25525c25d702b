"""The worst images of an evaluation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from segcli.errors import UsageError


def worst_keys(path: Path) -> tuple[str, ...]:
    """The keys that an evaluation lists as its worst images, worst first. Raises UsageError."""
    try:
        content: Any = json.loads(path.read_bytes())
        entries = content["worst"] if isinstance(content, dict) else None
        if entries == []:
            raise UsageError(
                f"--worst {path} lists no image, because nothing was missed and nothing was false"
            )
        if isinstance(entries, dict):
            entries = entries.get("images")
        keys = tuple(str(e["key"] if isinstance(e, dict) else e) for e in entries or ())
    except OSError as error:
        raise UsageError(f"--worst {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError):
        keys = ()
    if not keys:
        raise UsageError(
            f"--worst {path} lists no worst images; expected what segcli eval --json FILE writes"
        )
    return keys


def counted_categories(path: Path) -> tuple[str, ...] | None:
    """The categories of the ground truth that an evaluation compared, where it says so."""
    content: Any = json.loads(path.read_bytes())
    found = content.get("categories") if isinstance(content, dict) else None
    if not isinstance(found, list):
        return None
    return tuple(str(one.get("name")) for one in found if isinstance(one, dict))
