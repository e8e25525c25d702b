"""Prediction: the stages composed into a run that can be killed and gone on with."""

from segcli.run.options import PredictOptions
from segcli.run.predict import predict

__all__ = ["PredictOptions", "predict"]
