"""What is installed, what does not work, and how to fix it."""

from __future__ import annotations

import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from segcli import __version__
from segcli.errors import UsageError

LIBRARIES = ("numpy", "pyarrow", "pycocotools", "safetensors", "av", "duckdb", "typer", "rich")
NEEDED_FORMATS = ("JPEG", "PNG")
SMALL_DISK = 1e9  # bytes


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found. `advice`: what to do; `works`: False when a command would fail."""

    name: str
    value: str
    advice: str | None = None
    works: bool = True


def examine() -> list[Finding]:
    """Python and the libraries, devices, image formats, models, and free disk space."""
    return [finding for check in _CHECKS for finding in check()]


def _own_version() -> Finding:
    try:
        metadata.version("segcli")
    except metadata.PackageNotFoundError:
        advice = "it is not installed, so no models are found: scripts/setup in the checkout"
        return Finding("segcli", f"{__version__}, a checkout", advice, works=False)
    return Finding("segcli", __version__)


def _versions() -> Iterator[Finding]:
    yield _own_version()
    python = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    old = sys.version_info[:2] < (3, 11)
    yield Finding("python", python, "segcli needs Python 3.11 or newer" if old else None, not old)
    missing = []
    present = []
    for library in LIBRARIES:
        try:
            present.append(f"{library} {metadata.version(library)}")
        except metadata.PackageNotFoundError:
            missing.append(library)
    advice = f"missing: {', '.join(missing)}; install segcli again" if missing else None
    yield Finding("libraries", ", ".join(present), advice, not missing)


def _torch() -> Iterator[Finding]:
    try:
        import torch
        import torchvision
        from torchvision.ops import nms

        # With a torch of another build, torchvision imports but fails at its first operator.
        nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    # A broken binary library can raise anything: OSError, RuntimeError, AttributeError, ...
    except Exception as error:
        reason = str(error).strip().partition("\n")[0]
        advice = "install torch and torchvision of the same release and build (CPU or CUDA)"
        yield Finding("torch", f"does not load: {reason}", advice, works=False)
        return
    yield Finding("torch", f"{torch.__version__}, torchvision {torchvision.__version__}")
    from segcli.models.device import available_devices, has_bfloat16, resolve_device

    for name, what in available_devices().items():
        native = "native" if has_bfloat16(resolve_device(name)) else "not native: float32 is used"
        yield Finding("device", f"{name} ({what}), bfloat16 {native}")


def _images() -> Iterator[Finding]:
    try:
        from segcli.images import flavour, formats
    except ImportError as error:
        yield Finding("decoder", f"Pillow does not load: {error}", "install pillow", works=False)
        return
    plain = "Pillow-SIMD decodes faster: scripts/setup in a checkout, or `pip install pillow-simd`"
    simd = flavour().startswith("Pillow-SIMD")
    yield Finding("decoder", flavour(), None if simd else plain)
    names = [each.name for each in formats() if each.readable]
    missing = [each for each in formats() if not each.readable]
    unreadable = [each.name for each in missing if each.name in NEEDED_FORMATS]
    needs = "; ".join(f"{each.name} needs {each.needs}" for each in missing)
    advice = f"not read: {needs}" if missing else None
    yield Finding("formats", ", ".join(names), advice, works=not unreadable)


def _models() -> Iterator[Finding]:
    from segcli.models import registry

    for plugin in registry.plugins():
        if plugin.family is None:
            advice = "install a version of this plugin that matches segcli, or remove it"
            yield Finding("family", f"{plugin.name}: {plugin.error}", advice, works=False)
        else:
            ships = ", ".join(registry.shipped(plugin.name)) or "none"
            variants = ", ".join(plugin.family.variants)
            yield Finding("family", f"{plugin.name}: {variants} (weights shipped: {ships})")
    try:
        found = registry.locate(None, None)
        yield Finding("default", f"{found.info.family}/{found.info.variant} from {found.path}")
    except UsageError as error:
        yield Finding("default", "predict needs --model and --weights", str(error), works=False)


def _disk() -> Iterator[Finding]:
    for name, folder in (("disk", Path.cwd()), ("temporary", Path(tempfile.gettempdir()))):
        free = shutil.disk_usage(folder).free
        advice = "little space: a run stops when the disk is full, and can be resumed"
        yield Finding(
            name, f"{folder}: {free / 1e9:.1f} GB free", advice if free < SMALL_DISK else None
        )


_CHECKS: tuple[Callable[[], Iterator[Finding]], ...] = (_versions, _torch, _images, _models, _disk)
