"""`sftgen view`: the viewer on a port of this machine, until it is ended."""

from __future__ import annotations

import contextlib
import errno
import logging
import secrets
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import uvicorn

from sftgen_train.viewer.app import viewer_app
from sftgen_train.viewer.errors import ViewError
from sftgen_train.viewer.library import Library
from sftgen_train.viewer.verdicts import Verdicts, Waiting

PORT = 7420
PORTS_TRIED = 50


def serve(
    folders: Sequence[Path],
    *,
    port: int | None = None,
    waiting: Waiting | None = None,
    ready: Callable[[str], None],
) -> None:
    """Show runs until the process is interrupted.

    Args:
        folders: Run directories.
        port: The port; by default the first free one from `PORT` on.
        waiting: How many checkpoints of a run wait; a function of a module.
        ready: Is called with the address once it answers.

    Raises:
        RecordError: A run cannot be read.
        ViewError: The port is taken.
    """
    library, verdicts = Library(folders), Verdicts(waiting)
    token = secrets.token_urlsafe(24)
    with listening(port) as listener, contextlib.closing(verdicts):
        address = f"http://127.0.0.1:{listener.getsockname()[1]}/?token={token}"
        # The first question reads the journals: before anybody asks.
        threading.Thread(target=_read_ahead, args=(library,), daemon=True).start()
        config = uvicorn.Config(
            viewer_app(library, verdicts, token), log_level="critical", access_log=False, lifespan="off",
            timeout_graceful_shutdown=1, server_header=False, ws="none",
        )  # fmt: skip
        server = _Server(config, lambda: ready(address))
        # uvicorn raises a signal that it was ended by once more, after the end.
        with _quietly():
            server.run(sockets=[listener])


class _Server(uvicorn.Server):
    """A server that says when it answers."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self._ready()


@contextlib.contextmanager
def _quietly() -> Iterator[None]:
    """An interruption is how a viewer is ended, and no error."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        for number in before:
            signal.signal(number, lambda *_: None)
        yield
    except KeyboardInterrupt:
        pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _read_ahead(library: Library) -> None:
    try:
        library.edition().index  # noqa: B018
    except Exception as error:  # the page that asks will say it
        logging.getLogger(__name__).debug("reading ahead failed: %s", error)


@contextlib.contextmanager
def listening(port: int | None) -> Iterator[socket.socket]:
    """A socket on a free port of this machine only.

    Raises:
        ViewError: The port, or each of those that were tried, is taken.
    """
    tried = range(PORT, PORT + PORTS_TRIED) if port is None else [port]
    for number in tried:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        # A port on which a viewer has just ended is free.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("127.0.0.1", number))
            listener.listen(128)
        except OSError as error:
            listener.close()
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            continue
        with listener:
            yield listener
        return
    if port is None:
        raise ViewError(f"ports {PORT} to {PORT + PORTS_TRIED - 1} are all taken; name a free one with --port")
    raise ViewError(f"--port {port}: it is taken, or this user may not use it; leave it out, and a free one is chosen")
