"""`segcli zones`: draw zones on a frame of a camera, in the browser."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from segcli.cli.output_checks import refuse_places

Frame = Annotated[Path, typer.Argument(metavar="IMAGE", help="An image of the camera, or a video.")]
Out = Annotated[Path, typer.Option(metavar="FILE", help="The page to write.")]
Camera = Annotated[
    str, typer.Option(metavar="NAME", help="The camera of new zones; * is all cameras.")
]
NoOpen = Annotated[
    bool, typer.Option("--no-open", help="Write the page without opening it in a browser.")
]


def zones(
    image: Frame,
    out: Out = Path("zones.html"),
    zones: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Begin with the zones of this file.")
    ] = None,
    camera: Camera = "*",
    no_open: NoOpen = False,
) -> None:
    """Write a page on which zones are drawn on IMAGE, and open it in the browser.

    The page saves the zones as a GeoJSON file for --zones of the other commands. It needs neither a
    server nor a network. Exit codes: 0 done, 2 wrong usage, 7 cannot write.
    """
    import webbrowser

    from segcli.files import write_text
    from segcli.zones import read_zones
    from segcli.zones.page import drawing_page, read_frame

    refuse_places({"--out": out})
    known = None if zones is None else read_zones(zones)
    name = "zones.json" if zones is None else zones.name
    write_text(out, drawing_page(read_frame(image), known, camera=camera, file=name))
    if no_open or not webbrowser.open(out.resolve().as_uri()):
        typer.echo(f"{out}: open it in a browser, draw zones and save them as {name}", err=True)
    else:
        typer.echo(f"{out} is open in the browser: draw zones and save them as {name}", err=True)
