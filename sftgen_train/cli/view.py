"""`sftgen view`."""

from __future__ import annotations

import atexit
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Optional

import typer

from sftgen_train.cli.console import console, waiting


def view_runs(
    runs: Annotated[list[Path], typer.Argument(help="Run directories; several are arms.", metavar="RUN...")],
    *,
    port: Annotated[
        Optional[int],  # noqa: UP045
        typer.Option(min=1, max=65535, help="The port; by default the first free one from 7420 on."),
    ] = None,
    browser: Annotated[bool, typer.Option(help="Open it in a browser, where there is a screen.")] = True,
    bundle: Annotated[
        Optional[Path],  # noqa: UP045
        typer.Option(help="Write a static folder instead, which any web server shows."),
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="With --bundle: how many items, those that changed most.")] = 500,
    with_harmful_texts: Annotated[
        bool, typer.Option("--with-harmful-texts", help="With --bundle: texts of safety tasks too, folded.")
    ] = False,
) -> None:
    """Look at runs in a browser: verdicts, task x step, items won and lost, one item at every checkpoint.

    It answers on this machine only, to whoever has the printed address. Ctrl-C ends it.
    """
    if bundle is not None:
        from sftgen_train.viewer.bundle import write_bundle

        number = write_bundle(runs, bundle, most=items, harmful=with_harmful_texts, waiting=waiting)
        console.print(f"{number} items -> {bundle / 'index.html'}", soft_wrap=True, markup=False, highlight=False)
        return
    from sftgen_train.viewer.serving import serve

    def ready(address: str) -> None:
        print(f"{address}  (Ctrl-C ends it)", flush=True)
        if browser and _has_screen():
            _open_browser(address)

    serve(runs, port=port, waiting=waiting, ready=ready)


def _has_screen() -> bool:
    if os.environ.get("SSH_CONNECTION") or not sys.stdout.isatty():
        return False
    return sys.platform in {"darwin", "win32"} or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _open_browser(address: str) -> None:
    """Open the address by way of a file of this user: arguments of a process are seen by every user of a machine."""
    import webbrowser

    handle, name = tempfile.mkstemp(prefix="sftgen-view-", suffix=".html")
    atexit.register(Path(name).unlink, missing_ok=True)
    with os.fdopen(handle, "w") as file:
        file.write(f'<!doctype html><meta http-equiv="refresh" content="0;url={address}"><title>sftgen</title>')
    webbrowser.open(Path(name).as_uri())
