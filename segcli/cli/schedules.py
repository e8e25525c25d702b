"""The texts of `segcli init`: a crontab line, systemd units, an sbatch script."""

from __future__ import annotations

import os
import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from segcli.cloud.urls import url_of
from segcli.errors import UsageError

_MINUTE, _HOUR, _DAY = 60, 3600, 86400

THROUGH_SHELL = ("/bin/sh", "-c", 'exec "$0" "$@"')
"""Before a command, for what starts no program with a path like this one."""


class Job(NamedTuple):
    """`words` is the command, `out` the absolute path or URL of the output, `every` the seconds
    from one start to the next; `waits`: a run waits for an earlier one to end instead of ending
    itself."""

    words: tuple[str, ...]
    out: str
    log: Path
    every: int
    waits: bool = False

    @property
    def name(self) -> str:
        """segcli-FOLDER-NAME, as units and jobs may be called. FOLDER is the name of the folder or
        bucket of the output; outputs in different ones often have the same name."""
        path = Path(self.out)
        folder = urlsplit(self.out).netloc if url_of(self.out) else path.parent.name
        words = f"{folder}-{path.name.removesuffix('.parquet')}"
        return "segcli-" + (re.sub(r"[^A-Za-z0-9_.-]+", "-", words).strip("-.") or "predict")


def max_time(every: int) -> str:
    """A sixth of the interval, and at most ten minutes, remains for the last batch and commit."""
    seconds = every - min(every // 6, 10 * _MINUTE)
    return f"{seconds // _MINUTE}m" if seconds % _MINUTE == 0 else f"{seconds}s"


def cron(job: Job) -> str:
    """Two comments and a crontab line. Raises UsageError."""
    minute, hour, weekday = _times(job.every)
    code = 'echo "segcli predict ended with exit code $? on $(date)"'
    log = shlex.quote(str(job.log))
    line = f"{shlex.join(job.words)} >> {log} 2>&1 || {code} | tee -a {log}"
    if re.search(r"\\[\\%]", line):
        raise UsageError(
            "a backslash before % or another backslash in a path or option: versions of cron "
            "differ in what they make of it; use systemd, or a link with another name"
        )
    escaped = line.replace("%", r"\%")  # cron would turn a plain % into a line break
    comments = _comments(
        f"Add this line with crontab -e. --max-time ends a run before the next one starts. "
        f"{_overlap(job)}",
        f"Errors are appended to {job.log}. After any exit code but 0, cron also mails one line "
        "to MAILTO.",
    )
    return f"{comments}{minute} {hour} * * {weekday} {escaped}\n"


def systemd(job: Job) -> str:
    """A service and a timer; a comment before each names its file. Raises UsageError."""
    is_root = os.geteuid() == 0
    folder = "/etc/systemd/system" if is_root else "~/.config/systemd/user"
    control = "systemctl" if is_root else "systemctl --user"
    linger = "" if is_root else "`loginctl enable-linger` keeps the timer active after you log out."
    minute, hour, weekday = _times(job.every)
    days = "Sun *-*-*" if weekday != "*" else "*-*-*"
    at = f"{days} {hour.replace('*/', '00/')}:{minute.replace('*/', '00/')}:00"
    words = job.words
    if re.search(r"[\"'\\]", words[0]):  # systemd refuses these in the path of a program only
        words = (*THROUGH_SHELL, *words)
    # The colon makes $ in the words stand for itself.
    command = " ".join(_systemd_word(word) for word in (f":{words[0]}", *words[1:]))
    comments = _comments(
        f"{folder}/{job.name}.service",
        f"Then: {control} daemon-reload && {control} enable --now {job.name}.timer. {linger}",
        f"{_overlap(job)} The timer itself starts no second run while one is active.",
        "1: some images failed; 4: another run was active; 143: stopped, to be continued. After "
        "any other code but 0, the unit counts as failed.",
    )
    return f"""{comments}[Unit]
Description=Find the masks of new images with segcli

[Service]
Type=oneshot
ExecStart={command}
StandardOutput=append:{str(job.log).replace("%", "%%")}
StandardError=inherit
SuccessExitStatus=1 4 143
Nice=10

# {folder}/{job.name}.timer
[Unit]
Description=Start {job.name}.service at fixed times

[Timer]
OnCalendar={at}
Persistent=true

[Install]
WantedBy=timers.target
"""


def slurm(job: Job) -> str:
    """An sbatch script. Raises UsageError."""
    if "\\" in str(job.log):
        raise UsageError(f"Slurm accepts no backslash in the path of a log file: {str(job.log)!r}")
    schedule = "{} {} * * {}".format(*_times(job.every))
    days, rest = divmod(job.every, _DAY)
    limit = f"{days}-{rest // _HOUR:02}:{rest % _HOUR // _MINUTE:02}:{rest % _MINUTE:02}"
    log = str(job.log).replace("%", "%%").replace('"', r"\"")
    comments = _comments(
        "Submit this file with sbatch. To repeat it, add this line with crontab -e on a host that "
        f"may submit jobs, with the path of this file: {schedule} sbatch FILE",
        f"{_overlap(job)} Before the time limit, SIGTERM makes the run commit what is done, and "
        "the next one continues.",
        "Add what your site needs, such as --partition, --cpus-per-task or --gres=gpu:1.",
    )
    return f"""#!/bin/bash
#SBATCH --job-name={job.name}
#SBATCH --output="{log}"
#SBATCH --open-mode=append
#SBATCH --time={limit}
#SBATCH --signal=B:TERM@{min(120, job.every // 12)}
{comments}exec {shlex.join(job.words)}
"""


def _times(every: int) -> tuple[str, str, str]:
    """Minute, hour and weekday of a crontab. Raises UsageError if they cannot express it."""
    if every in (7 * _DAY, _DAY):
        return "0", "0", "0" if every > _DAY else "*"
    if every >= _HOUR and _DAY % every == 0 and every % _HOUR == 0:
        return "0", "*" if every == _HOUR else f"*/{every // _HOUR}", "*"
    if _MINUTE <= every < _HOUR and _HOUR % every == 0 and every % _MINUTE == 0:
        return "*" if every == _MINUTE else f"*/{every // _MINUTE}", "*", "*"
    raise UsageError(
        "--every: expected minutes that divide an hour, such as 30m, hours that divide a day, such "
        "as 6h, 1d or 1w"
    )


def _overlap(job: Job) -> str:
    if job.waits:
        return "If a run is still active when the next one starts, the later one waits for its end."
    return (
        "If a run is still active when the next one starts, the lock of the output makes the later "
        "one end with exit code 4; no image is lost, because each run finds what is not done yet."
    )


def _systemd_word(word: str) -> str:
    escaped = word.replace("\\", r"\\").replace('"', r"\"").replace("%", "%%")
    return escaped if re.fullmatch(r"[\w@%+=:,./-]+", word) else f'"{escaped}"'


def _comments(*texts: str) -> str:
    lines = (line for text in texts for line in textwrap.wrap(text, 98, break_long_words=False))
    return "".join(f"# {line}\n" for line in lines)
