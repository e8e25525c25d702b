"""`segcli doctor`: what is installed, what does not work, and how to fix it."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer

from segcli.cli.options import Json
from segcli.cli.wording import worded
from segcli.errors import ExitCode


def doctor(as_json: Json = False) -> None:
    """Check Python, devices, image formats, models and disk; exit 1 when something is broken."""
    from segcli.environment import examine

    findings = examine()
    if as_json:
        typer.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        for finding in findings:
            mark = "ok" if finding.works and not finding.advice else "!!" if finding.works else "NO"
            typer.echo(f"{mark}  {finding.name:<12} {finding.value}")
            if finding.advice:
                typer.echo(f"                 {worded(finding.advice)}")
    if not all(finding.works for finding in findings):
        raise typer.Exit(ExitCode.SOME_FAILED)
