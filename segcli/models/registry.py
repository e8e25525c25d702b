"""Find families of models and their weights, and load models."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from segcli.errors import UsageError
from segcli.models import checkpoint
from segcli.models.openvino_graph import PREFIX, Graph, graphs_of
from segcli.models.plugins import Plugin, default_families
from segcli.models.plugins import families as families
from segcli.models.plugins import plugins as plugins
from segcli.models.user_weights import kept as kept
from segcli.models.user_weights import kept_file as kept_file
from segcli.models.user_weights import weights_folder as weights_folder
from segcli.plugin import Adaptable, Family, Segmenter
from segcli.startup import import_torchvision
from segcli.suggest import did_you_mean
from segcli.types import ModelInfo

if TYPE_CHECKING:
    from torch import Tensor

NO_WEIGHTS = Path("none")
"""The path for families that need no weights."""


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights file of a model; `name` is its display name, the path or FAMILY/VARIANT.

    `native`: written by segcli; else a published checkpoint that `Family.convert` understands.
    `path` is NO_WEIGHTS if the family needs none and none are installed.
    """

    family: Family
    info: ModelInfo
    path: Path
    name: str
    native: bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model with its weights, on the CPU, in eval mode.

    `sha256` is that of the weights' file, "none" without one. `quantized`: the int8 graphs that the
    file contains, if any, by the names of the parts.
    """

    model: Segmenter
    info: ModelInfo
    weights: str
    sha256: str
    quantized: Mapping[str, Graph] = field(default_factory=dict)


def find(model: str | None) -> tuple[Family, ModelInfo]:
    """The family and variant called "FAMILY[/VARIANT]"; None is the default family.

    A family's default variant is its first. Raises UsageError with the installed names.
    """
    installed = plugins()
    known = {plugin.name: plugin.family for plugin in installed if plugin.family}
    if not known:
        raise UsageError("no model family is installed; `segcli doctor` shows what it found")
    name, _, variant = (model or _default_name(installed)).partition("/")
    family = known.get(name)
    if family is None:
        broken = next((p.error for p in installed if p.name == name), None)
        if broken:
            raise UsageError(f"the model family {name!r} cannot be loaded: {broken}")
        raise UsageError(f"no model family named {name!r}; installed: {_choices(name, known)}")
    if not variant:
        return family, next(iter(family.variants.values()))
    if variant not in family.variants:
        choices = _choices(variant, family.variants)
        raise UsageError(f"{name} has no variant {variant!r}; it has: {choices}")
    return family, family.variants[variant]


def shipped(name: str) -> dict[str, Path]:
    """Variant -> the weights inside the package of the family `name`."""
    plugin = next((p for p in plugins() if p.name == name and p.family), None)
    return _shipped(plugin) if plugin else {}


def installed(family: Family, info: ModelInfo) -> Path | None:
    """The weights of a model that ship, else those that are kept; None if there are none."""
    return shipped(family.name).get(info.variant) or kept_file(info)


def locate(model: str | None, weights: str | None) -> Weights:
    """The file for `model` ("FAMILY[/VARIANT]") and `weights` (a path or a shipped model's name).

    Without `model`, the header of the weights states the model. Without `weights`, the shipped
    weights of the model are used, or those that are `kept`. Reads only headers. Raises UsageError.
    """
    if weights is None:
        family, info = find(model)
        name = f"{info.family}/{info.variant}"
        found = installed(family, info)
        if found is None and not family.needs_weights:
            return Weights(family, info, NO_WEIGHTS, name, native=True)
        if found is None:
            raise UsageError(_how_to_get(family, info))
        path = found
    else:
        path, name = _path_of(weights)
    described = checkpoint.read_info(path)
    if described is None:
        family, info = find(model)
        return Weights(family, info, path, name, native=False)
    find(f"{described.family}/{described.variant}")  # a newer version may know other variants
    family, info = find(model or f"{described.family}/{described.variant}")
    asked_for = f"{info.family}/{info.variant}" if model and "/" in model else info.family
    if not f"{described.family}/{described.variant}/".startswith(f"{asked_for}/"):
        raise UsageError(
            f"{name} has weights of {described.family}/{described.variant}, not of {asked_for}; "
            f"use `model='{described.family}/{described.variant}'` or other `weights`"
        )
    return Weights(family, described, path, name, native=True)


def initial_weights(model: str | None, weights: str | None) -> tuple[Path, str]:
    """The initial weights for training `model`: a file and its display name.

    `weights` is a path or a shipped model's name; None: the shipped weights of the model, or those
    that are `kept`, or its ImageNet body in the folder `imagenet` next to them. Raises UsageError.
    """
    if weights is not None:
        path, name = _path_of(weights)
        return path, f"the weights {name}"
    family, info = find(model)
    name = f"{info.family}/{info.variant}"
    if (there := installed(family, info)) is not None:
        return there, f"the weights of {name}"
    body = family.bodies.get(info.variant)
    folder = weights_folder() / "imagenet"
    found = sorted(folder.glob(f"{body}*")) if body else []
    if found:
        return found[0], f"the ImageNet body {found[0]}"
    advice = f", put an ImageNet checkpoint at {folder}/{body}.pth" if body else ""
    raise UsageError(
        f"no initial weights: none of {name} are shipped or kept at {kept(info)}; give a "
        f"checkpoint as `weights`{advice}, or use random weights with `from_scratch=True`"
    )


def weights_facts(model: str | None, weights: str | None) -> tuple[ModelInfo, Path, str]:
    """The info, file and sha256 that `load_model` would load; imports no torch."""
    found = locate(model, weights)
    return found.info, found.path, _digest(found.path)


def _digest(path: Path) -> str:
    return "none" if path == NO_WEIGHTS else checkpoint.digest(path)


def load_model(model: str | None, weights: str | None) -> Loaded:
    """Build the model and fill it; see `locate` for the arguments. Raises UsageError."""
    found = locate(model, weights)
    import_torchvision()
    network = found.family.build(found.info)
    quantized: Mapping[str, Graph] = {}
    if found.path != NO_WEIGHTS:
        state = checkpoint.load(found.path)[1] if found.native else convert_published(found)
        quantized = graphs_of(state)
        state = {name: t for name, t in state.items() if not name.startswith(PREFIX)}
        if isinstance(network, Adaptable):
            network.adapt(state)
        checkpoint.check_match(
            state,
            network.state_dict(),
            source=found.name,
            model=f"{found.info.family}/{found.info.variant}",
        )
        network.load_state_dict(state)
    network.eval()
    return Loaded(network, found.info, found.name, _digest(found.path), quantized)


def convert_published(found: Weights) -> dict[str, Tensor]:
    """The weights of a published checkpoint under the family's names.

    Raises UsageError with the first differences, and with the installed model that they fit.
    """
    import_torchvision()
    state = checkpoint.read_published(found.path)
    try:
        return found.family.convert(state, found.info)
    except UsageError as error:
        fitting = _fitting(state)
        hint = (
            f"; it looks like {', '.join(fitting)}: try `model={fitting[0]!r}`" if fitting else ""
        )
        raise UsageError(f"{error}{hint}") from error


def _fitting(state: dict[str, Tensor]) -> list[str]:
    """The installed models that accept the whole published state dict."""
    import torch

    fitting = []
    for family in families().values():
        for info in family.variants.values():
            try:
                with torch.device("meta"):  # shapes only, without random weights
                    whole = family.build(info).state_dict().keys()
                    if family.convert(state, info).keys() == whole:
                        fitting.append(f"{info.family}/{info.variant}")
            # Of another model; or `convert` computed with a tensor that has no values here.
            except (UsageError, RuntimeError):
                continue
    return fitting


def _default_name(installed: Iterable[Plugin]) -> str:
    """The default family of the installation, or the first one that ships weights."""
    names = [plugin.name for plugin in installed if plugin.family]
    chosen = default_families()
    with_weights = [plugin.name for plugin in installed if _shipped(plugin)]
    return next(name for name in [*chosen, *with_weights, *names] if name in names)


def _shipped(plugin: Plugin) -> dict[str, Path]:
    if plugin.family is None:
        return {}
    try:
        folder = Path(str(resources.files(plugin.package))) / "weights"
    except TypeError:  # a single module, not a package: there is no place for weights
        return {}
    files = {variant: folder / f"{variant}.safetensors" for variant in plugin.family.variants}
    return {variant: path for variant, path in files.items() if path.is_file()}


def _path_of(weights: str) -> tuple[Path, str]:
    """The file for `weights` and its name: a path, or FAMILY/VARIANT of a shipped model."""
    path = Path(weights)
    if path.is_file():
        return path, weights
    by_name = {
        f"{plugin.name}/{variant}": file
        for plugin in plugins()
        for variant, file in _shipped(plugin).items()
    }
    if weights in by_name:
        return by_name[weights], weights
    what = "is a folder" if path.is_dir() else "does not exist"
    raise UsageError(
        f"no weights {weights!r}: as a path it {what}, and the shipped weights are "
        f"{', '.join(by_name) or 'none'}; expected a file or one of these names"
    )


def command(*words: str) -> str:
    """A whole command of segcli, for people to copy."""
    return f"`{shlex.join(['segcli', *words])}`"


def _how_to_get(family: Family, info: ModelInfo) -> str:
    model = f"{info.family}/{info.variant}"
    ready = [f"{info.family}/{variant}" for variant in shipped(family.name)]
    published = family.published.get(info.variant)
    if published is None:
        how = f"none are published; train some with {command('train', '--model', model)}"
    elif published.by_hand:
        how = (
            f"save {published.url} in a browser ({published.by_hand}) and run "
            f"{command('weights', 'convert', 'FILE', '--model', model)}"
        )
    else:
        how = f"`segcli weights fetch {model}` gets the published ones"
    return (
        f"no weights for {model} are installed (shipped: {', '.join(ready) or 'none'}): {how}; or "
        "give a file as `weights`"
    )


def _choices(given: str, known: Iterable[str]) -> str:
    """The known names, with a suggestion."""
    names = sorted(known)
    return ", ".join(names) + did_you_mean(given, names)
