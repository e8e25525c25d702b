"""Prediction: a run, composed of stages, that can be killed and resumed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from segcli.pipeline.options import PredictOptions

if TYPE_CHECKING:
    from segcli.pipeline.run import predict

__all__ = ["PredictOptions", "predict"]


def __getattr__(name: str) -> Any:
    # The command line reads its defaults from PredictOptions, and its help loads no library.
    if name == "predict":
        from segcli.pipeline.run import predict

        return predict
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
