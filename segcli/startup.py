"""Faster start of a process, and faster reading of large files."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any

_PARENT, _MODULE = "torch._dynamo", "torch._dynamo.utils"


@contextmanager
def uncollected() -> Iterator[None]:
    """Without garbage collection, which would go through every new object again and again.

    Reading millions of annotations takes a tenth of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collecting:
            gc.enable()


def import_torchvision() -> None:
    """Import torchvision without torch's compiler, which segcli does not use.

    torchvision 0.29 imports one function from `torch._dynamo.utils`, which imports 1,500 modules,
    sympy among them: `import torchvision` after torch takes 6.0 s of processor time instead of 0.7
    on the machine where this was measured. While torchvision is imported, a stand-in replaces that
    module. When the function is called, or another attribute is read, the real module is imported.
    If either module is already imported, nothing is done. If torchvision cannot be imported, the
    error is raised later, by the code that uses it.
    """
    if {"torchvision", _PARENT} & sys.modules.keys():
        return
    import torch  # noqa: F401, so that only torchvision is imported while the stand-in is there

    parent, module = ModuleType(_PARENT), _StandIn(_MODULE)
    parent.utils = module  # type: ignore[attr-defined]
    sys.modules[_PARENT], sys.modules[_MODULE] = parent, module
    try:
        with suppress(ImportError):
            import torchvision  # noqa: F401
    finally:
        _remove(parent, module)


class _StandIn(ModuleType):
    """Stands for torch._dynamo.utils, which it imports on first use."""

    def is_compile_supported(self, device_type: str) -> Any:
        return _real("is_compile_supported")(device_type)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # attributes of the import system
            raise AttributeError(name)
        return _real(name)


def _real(name: str) -> Any:
    for stand_in in (sys.modules.get(_MODULE), sys.modules.get(_PARENT)):
        if stand_in is not None and stand_in.__spec__ is None:
            _remove(stand_in)
    from torch._dynamo import utils

    return getattr(utils, name)


def _remove(*modules: ModuleType) -> None:
    """Remove those of `modules` that are still in sys.modules under their names."""
    for module in modules:
        if sys.modules.get(module.__name__) is module:
            del sys.modules[module.__name__]
