"""The validations of a training, stored as val.jsonl with one line each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from segcli.errors import UsageError
from segcli.files import write_text
from segcli.train.measure import Measured


@dataclass(slots=True)
class History:
    """The validations of a run; an entry has epoch, step, AP (the mean of the sets') and sets."""

    path: Path
    entries: list[dict[str, Any]] = field(default_factory=list)

    @staticmethod
    def read(path: Path, *, epochs: int) -> History:
        """What was kept of the first `epochs` epochs; nothing where there is no file."""
        if not path.is_file():
            return History(path)
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
            entries = [json.loads(line) for line in lines]
            return History(path, [entry for entry in entries if entry["epoch"] <= epochs])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise UsageError(f"{path} is damaged ({error}); remove it to continue") from error

    def add(self, epoch: int, step: int, measured: Sequence[Measured]) -> None:
        """Raises OutputError when the file cannot be written."""
        mean = sum(one.ap for one in measured) / len(measured)
        sets = json.loads(json.dumps([asdict(one) for one in measured]))  # as a resume reads them
        self.entries.append({"epoch": epoch, "step": step, "AP": mean, "sets": sets})
        write_text(self.path, "".join(json.dumps(entry) + "\n" for entry in self.entries))

    @property
    def best(self) -> int | None:
        """The place of the first entry with the highest AP."""
        aps = [entry["AP"] for entry in self.entries]
        return aps.index(max(aps)) if aps else None

    @property
    def stale(self) -> int:
        """Validations since the best one."""
        return 0 if self.best is None else len(self.entries) - 1 - self.best

    def has(self, epoch: int) -> bool:
        return any(entry["epoch"] == epoch for entry in self.entries)
