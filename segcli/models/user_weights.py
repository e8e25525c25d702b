"""The folder of weights that do not ship: what the user has fetched, converted or trained."""

from __future__ import annotations

import os
from pathlib import Path

from segcli.errors import UsageError
from segcli.files import user_folder
from segcli.types import ModelInfo

VARIABLE = "SEGCLI_WEIGHTS"
"""The environment variable of the folder."""


def kept(info: ModelInfo) -> Path:
    """The path of weights that do not ship, where `convert` writes them. Raises UsageError for a
    user without such a folder."""
    return weights_folder() / info.family / f"{info.variant}.safetensors"


def kept_file(info: ModelInfo, suffix: str = ".safetensors") -> Path | None:
    """The file of these weights, or another one of their name, if it is there."""
    if _folder() is None:
        return None
    path = kept(info).with_suffix(suffix)
    return path if path.is_file() else None


def weights_folder() -> Path:
    """$SEGCLI_WEIGHTS, else a folder of the user's data. Raises UsageError for a user without a
    home."""
    folder = _folder()
    if folder is None:
        raise UsageError(
            f"this user has no home folder, in which weights would be kept; set the environment "
            f"variable {VARIABLE} to another folder"
        )
    return folder


def _folder() -> Path | None:
    if given := os.environ.get(VARIABLE):
        return Path(given)
    data = user_folder("XDG_DATA_HOME", ".local/share")
    return None if data is None else data / "segcli/weights"
