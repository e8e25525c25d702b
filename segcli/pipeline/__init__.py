"""Prediction: the stages composed into a run that can be killed and gone on with."""

from segcli.pipeline.options import PredictOptions
from segcli.pipeline.run import predict

__all__ = ["PredictOptions", "predict"]
