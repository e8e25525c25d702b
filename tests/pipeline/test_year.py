"""Two days of the simulated year of `scripts/soak --year`: its accounts are exact."""

import random
from pathlib import Path

from scripts.ci.soak_year import Year


def test_some_days_of_an_hourly_job(tmp_path: Path) -> None:
    year = Year(tmp_path, random.Random(0), hours=30, share=0.6, prune_d=0.5)
    year.go()  # checks the accounts
    found = year.endings
    assert found["complete"] > 8
    assert found["killed"] > 0
    assert found["images with rows"] > 20
    assert found["images pruned"] > 20
    assert found["prune: complete"] + found["prune: killed"] == 3
    assert len(year.jobs) == 2
