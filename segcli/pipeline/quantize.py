"""Make weights with an int8 form of the static part and of the heads, by post-training
quantization."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from segcli.errors import UsageError
from segcli.images import MAX_PIXELS
from segcli.images.batch import collate
from segcli.models import checkpoint, openvino_graph, registry
from segcli.models.openvino_graph import STATIC, Graph, Inconvertible
from segcli.models.runtime import Compiled
from segcli.pipeline.resources import QUEUE_BYTES, default_threads
from segcli.pipeline.stages.prefetch import Prefetch
from segcli.plugin import Compilable, Head, Headed
from segcli.plurals import counted
from segcli.sources import Source
from segcli.sources.several import open_sources
from segcli.types import Batch, ModelInfo, Sample

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

IMAGES = 300
"""By default; NNCF's own default for the statistics of activations."""

_LISTED = 100_000  # of a source, from which the images are chosen
_FEWEST = 8
_FAR = 0.15  # bfloat16 is at 0.05
_LEAST = 0.05  # score of the objects whose regions calibrate the mask head
_WITH_HEADS, _REGIONS = 100, 32  # images, and regions of each, that calibrate a head
_BODY = r".*[./]body[./].*"  # operators of the body, by the names of their modules


@dataclass(frozen=True, slots=True)
class Quantized:
    """Weights of `model` ("FAMILY/VARIANT") at `path`, calibrated on `images`; `skipped` could not
    be read."""

    model: str
    path: Path
    images: int
    skipped: int


def quantize(
    model: str | None,
    sources: Sequence[str],
    out: Path,
    *,
    weights: str | None = None,
    images: int = IMAGES,
    note: Callable[[str], None],
) -> Quantized:
    """Write weights to `out` that have an int8 form as well, calibrated on images of `sources`.

    The images are spread evenly over the sources. Weights become int8 per channel, activations per
    tensor, and biases are corrected for the mean error of each layer (Nagel et al. 2019, Data-free
    quantization, section 4.2). The file keeps the weights in float, which the rest of the network
    needs. Raises UsageError without OpenVINO and NNCF, for a model without a static part, or with
    too few images; OutputError.
    """
    import torch

    openvino_graph.library("nncf")
    if out.exists():
        raise UsageError(f"{out} exists; remove it, or choose another file as `out`")
    loaded = registry.load_model(model, weights)
    network, name = loaded.model, f"{loaded.info.family}/{loaded.info.variant}"
    if not isinstance(network, Compilable):
        raise UsageError(f"{name} has no static part, which is what int8 is for")
    samples = chosen(open_sources(sources), images)
    note(f"reading {counted(len(samples), 'image')}")
    batches = list(_batches(network.info, samples))
    count = len(batches)
    if count < _FEWEST:
        raise UsageError(_too_few(count, len(samples), images))
    try:
        graph = openvino_graph.kept_graph(network, loaded.sha256, note)
        note(f"quantizing {name} on {count} images, which may take minutes")
        int8 = {STATIC: _quantized(graph, batches, network, note)}
        if isinstance(network, Headed):
            int8 |= _quantized_heads(graph, batches, network)
    except Inconvertible as error:
        raise UsageError(f"OpenVINO cannot compute {name}: {error}") from error
    state = network.state_dict()
    half = all(torch.equal(t, t.half().float()) for t in state.values() if t.is_floating_point())
    state |= openvino_graph.tensors_of(int8)
    notes = {"source": loaded.weights, "source_sha256": loaded.sha256, "calibrated_on": f"{count}"}
    checkpoint.save(out, state, loaded.info, notes=notes, half=half)  # if they were float16
    return Quantized(name, out, count, len(samples) - count)


def _too_few(readable: int, found: int, asked: int) -> str:
    if asked < _FEWEST:
        return f"`images` {asked}: at least {_FEWEST} are needed"
    kind = "of the kind that the model will see"
    if readable == found:
        return f"the source has {counted(found, 'image')}; at least {_FEWEST} are needed, {kind}"
    return f"only {readable} of {found} images can be read; give {_FEWEST} or more, {kind}"


def chosen(source: Source, most: int) -> list[Sample]:
    """At most `most` samples, evenly spread over those that are listed first."""
    listed = list(islice(source, _LISTED))
    count = min(most, len(listed))
    return [listed[i * len(listed) // count] for i in range(count)]


def _batches(info: ModelInfo, samples: Sequence[Sample]) -> Iterator[Batch]:
    """One of each image that can be read."""
    prefetch = Prefetch(
        info, threads=default_threads(), max_pixels=MAX_PIXELS, limit_bytes=QUEUE_BYTES
    )
    for item in prefetch.load(samples):
        if item.image is not None:
            yield collate([item.image], info)


class _Seen(Exception):
    """Ends `predict` when it has made the input of the static part."""


def _input(network: Compilable, batch: Batch) -> NDArray[np.float32]:
    """What the static part of `network` sees of a batch, (B, 3, H, W)."""
    seen: list[Tensor] = []

    def keep(x: Tensor) -> list[Tensor]:
        seen.append(x)
        raise _Seen

    network.compiled = keep
    try:
        network.predict(batch, min_score=1.0, max_masks=1)
    except _Seen:
        pass
    finally:
        network.compiled = None
    found: NDArray[np.float32] = seen[0].contiguous().numpy()
    return found


def _quantized(
    graph: Graph, batches: Sequence[Batch], network: Compilable, note: Callable[[str], None]
) -> Graph:
    """The int8 form of the graph of `network`, calibrated on batches of one image.

    Where int8 is too far from float, the body keeps its precision: bodies of depthwise
    convolutions and linear bottlenecks, as MobileNet's, have channels of very different ranges.
    """
    few = [_input(network, batch) for batch in batches[:_FEWEST]]
    for ignored in (None, _BODY):
        made = _int8(graph, batches, lambda batch: _input(network, batch), ignored)
        error = _error(made, graph, few)
        if ignored is None and error > _FAR:
            note(
                f"int8 differs by {error:.2f} of the spread from float32: quantizing again without "
                "the body"
            )
        else:
            break
    note(f"int8 differs by {error:.2f} of the spread from float32")
    return made


def _quantized_heads(graph: Graph, batches: Sequence[Batch], network: Headed) -> dict[str, Graph]:
    """The int8 forms of the heads of `network`, by their names, calibrated on regions that it finds
    in the batches; a head that gets no regions is left out."""
    seen = _regions(graph, batches[:_WITH_HEADS], network)
    graphs = openvino_graph.converted_heads(network)
    return {
        name: _int8(graphs[name], rows, lambda x: x, None) for name, rows in seen.items() if rows
    }


def _regions(
    graph: Graph, batches: Sequence[Batch], network: Headed
) -> dict[str, list[NDArray[np.float32]]]:
    """What each head sees of some regions of each batch, evenly chosen: (n, h, w, C)."""
    seen: dict[str, list[NDArray[np.float32]]] = {}

    def keep(name: str, head: Head, x: Tensor, counts: Sequence[int]) -> list[Tensor]:
        some = x[:: max(1, -(-len(x) // _REGIONS))].permute(0, 2, 3, 1)
        if len(some):
            seen.setdefault(name, []).append(some.contiguous().numpy())
        return head.compute(x)

    network.compiled = Compiled(graph, "float32")
    try:
        for name, head in network.heads().items():
            network.compiled_heads[name] = partial(keep, name, head)
        for batch in batches:
            network.predict(batch, min_score=_LEAST, max_masks=100)
    finally:
        network.compiled = None
        network.compiled_heads.clear()
    return seen


def _int8(
    graph: Graph, items: Sequence[Any], see: Callable[[Any], Any], ignored: str | None
) -> Graph:
    """The int8 form of a graph, calibrated on what it sees of `items`; `ignored`: a pattern of the
    operators that keep their precision."""
    nncf = openvino_graph.library("nncf")
    with _silent(nncf), _without_snippets():
        made = nncf.quantize(
            graph.model(),
            nncf.Dataset(items, see),
            preset=nncf.QuantizationPreset.MIXED,
            subset_size=len(items),
            fast_bias_correction=True,
            ignored_scope=ignored and nncf.IgnoredScope(patterns=[ignored], validate=False),
        )
        return Graph.of(made)


def _error(int8: Graph, graph: Graph, inputs: Sequence[NDArray[np.float32]]) -> float:
    """The mean absolute difference of the outputs, in units of their spread; the largest output's.

    Both are computed in float32 where they are not int8.
    """
    import torch

    first, second = Compiled(int8, "float32"), Compiled(graph, "float32")
    errors = []
    for x in map(torch.from_numpy, inputs):
        pairs = zip(first(x), second(x), strict=True)
        errors.append([float((y - z).abs().mean() / z.std().clamp(min=1e-6)) for y, z in pairs])
    means: list[float] = [sum(each) / len(errors) for each in zip(*errors, strict=True)]
    return max(means)


@contextlib.contextmanager
def _silent(nncf: Any) -> Iterator[None]:
    """NNCF writes progress bars and advice to stdout."""
    nncf.set_log_level(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        yield


@contextlib.contextmanager
def _without_snippets() -> Iterator[None]:
    """NNCF compiles the graph and parts of it, and has no option that takes OpenVINO's."""
    openvino = openvino_graph.library()
    core = openvino.Core

    def without() -> Any:
        made = core()
        made.set_property("CPU", openvino_graph.NO_SNIPPETS)
        return made

    openvino.Core = without
    try:
        yield
    finally:
        openvino.Core = core
