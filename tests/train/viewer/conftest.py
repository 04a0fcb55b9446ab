"""Runs, a viewer of them as a process of its own, and one browser for all tests."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Thread

import pytest
import uvicorn
from playwright.sync_api import Browser, BrowserContext, Page, expect

from sftgen_train.viewer.app import viewer_app
from sftgen_train.viewer.library import Library
from sftgen_train.viewer.serving import listening
from sftgen_train.viewer.verdicts import Verdicts
from tests import PATIENCE, commands
from tests.browser import launched
from tests.train.viewer.made import make_run

# On a busy machine everything takes longer: only what hangs fails.
expect.set_options(timeout=PATIENCE * 1000 / 2)


@dataclass(frozen=True)
class Viewer:
    """A viewer that answers.

    Attributes:
        address: With its token.
        pid: Its process.
        out: What it printed.
    """

    address: str
    pid: int
    out: Path

    @property
    def base(self) -> str:
        return self.address.partition("/?")[0]

    @property
    def token(self) -> str:
        return self.address.partition("token=")[2]


@contextmanager
def viewing(folder: Path, *arguments: str | Path) -> Iterator[Viewer]:
    """`sftgen view` as a process, until the block ends."""
    out, err = folder / "out", folder / "err"
    process = commands.start("sftgen", "view", *arguments, "--no-browser", out=out, err=err)
    try:
        end = time.monotonic() + PATIENCE
        while not (found := re.search(r"http://\S+", out.read_text() if out.exists() else "")):
            assert process.poll() is None, err.read_text()
            assert time.monotonic() < end
            time.sleep(0.05)
        yield Viewer(found[0], process.pid, out)
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    assert process.returncode == 0, err.read_text()
    assert "Traceback" not in err.read_text(), err.read_text()


@contextmanager
def answering(*runs: Path) -> Iterator[Viewer]:
    """The same in this process, for tests of what it answers and not of the command."""
    app = viewer_app(Library(runs), Verdicts(), token="token")
    with listening(None) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="critical", lifespan="off"))
        thread = Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield Viewer(f"http://127.0.0.1:{listener.getsockname()[1]}/?token=token", os.getpid(), Path(os.devnull))
        server.should_exit = True
        thread.join()


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two arms; the first has harmful texts."""
    folder = tmp_path_factory.mktemp("runs")
    make_run(folder / "alpha").compact()
    make_run(folder / "beta", lift=6, safety=False)
    return folder / "alpha", folder / "beta"


@pytest.fixture(scope="session")
def viewer(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Viewer]:
    with viewing(tmp_path_factory.mktemp("viewer"), *runs) as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the session: Playwright's event loop runs as long as it is open, and other tests have loops of their own.
    with launched() as found:
        yield found


Open = Callable[..., Page]
Answer = Callable[..., Viewer]


@pytest.fixture
def answer() -> Iterator[Answer]:
    """Starts a viewer in this process, which ends with the test."""
    with ExitStack() as stack:
        yield lambda *runs: stack.enter_context(answering(*runs))


@pytest.fixture
def open_page(browser: Browser, answer: Answer) -> Iterator[Open]:  # pages close before their viewer ends
    """Opens an address: `open_page(address, width=390, dark=True)`. At the end nothing was amiss in any page."""
    contexts: list[BrowserContext] = []
    amiss: list[str] = []
    pages: list[Page] = []

    def opened(address: str, *, width: int = 1400, dark: bool = False, problems: bool = False) -> Page:
        scheme = "dark" if dark else "light"
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, accept_downloads=True
        )  # type: ignore[arg-type]
        context.set_default_timeout(PATIENCE * 1000 / 2)
        contexts.append(context)
        page = context.new_page()
        origin = address.partition("/?")[0] if address.startswith("http") else "file:"
        page.on(
            "request", lambda request: None if request.url.startswith(origin) else amiss.append(f"asked {request.url}")
        )
        page.on("pageerror", lambda error: amiss.append(f"error {error}"))
        page.on(
            "console",
            lambda said: amiss.append(said.text) if said.type in {"error", "warning"} and not problems else None,
        )
        page.goto(address)
        if address.startswith("http") and "token=" in address:
            page.wait_for_url(lambda url: "token=" not in url)
        pages.append(page)
        return page

    yield opened
    hacked = [page.url for page in pages if page.evaluate("window.hacked !== undefined")]
    for context in contexts:
        context.close()
    assert amiss == []
    assert hacked == []
