"""Access to transformers, which is installed only with the extra `hf`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from segcli.errors import UsageError

_INSTALL = "install it with: pip install 'segcli[hf]'"


def load(*names: str) -> list[Any]:
    """The classes or functions of transformers called `names`.

    Raises UsageError when transformers is not installed or has none of these names, as older
    versions do. Importing takes several seconds, so it happens where a model is built.
    """
    try:
        package = import_module("transformers")
    except ImportError as error:
        reason = str(error).strip().partition("\n")[0]  # others follow with advice for developers
        raise UsageError(
            f"this model needs the package transformers, which cannot be imported ({reason}); "
            f"{_INSTALL}"
        ) from error
    try:
        return [getattr(package, name) for name in names]
    except (AttributeError, ImportError) as error:
        version = getattr(package, "__version__", "of an unknown version")
        raise UsageError(
            f"transformers {version} has no {' or '.join(names)}; {_INSTALL}"
        ) from error
