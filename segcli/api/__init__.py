"""The Python API for notebooks and other programs: `segcli.load`, `predict` and `read`."""

from segcli.api.model import Model, load
from segcli.api.result import Masks, Result
from segcli.api.run import predict
from segcli.pipeline.events import Summary
from segcli.store.lazy_table import Table, read

__all__ = ["Masks", "Model", "Result", "Summary", "Table", "load", "predict", "read"]
