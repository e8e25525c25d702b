"""Evaluation: COCO metrics to the last bit, what does not match, and what to improve."""

from segcli.annotations.coco import KINDS, read_coco
from segcli.annotations.ground_truth import GroundTruth
from segcli.evaluate.engines import ENGINES, RANGES, Params
from segcli.evaluate.evaluation import Evaluation, evaluate, evaluate_loaded, score_records, usual
from segcli.evaluate.matched import Case, Choices, Matching
from segcli.evaluate.predictions import read_found

__all__ = [
    "ENGINES",
    "KINDS",
    "RANGES",
    "Case",
    "Choices",
    "Evaluation",
    "Matching",
    "Params",
    "GroundTruth",
    "evaluate",
    "evaluate_loaded",
    "read_found",
    "read_coco",
    "score_records",
    "usual",
]
