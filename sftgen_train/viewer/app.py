"""The viewer as a web application."""

from __future__ import annotations

import logging
from collections.abc import Callable
from importlib import resources
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from sftgen_judges.errors import SftgenError
from sftgen_train.exchange.answers import response_of
from sftgen_train.viewer import questions
from sftgen_train.viewer.address import Choice, text_value, whole_number
from sftgen_train.viewer.errors import AddressError, MissingError
from sftgen_train.viewer.guarding import Guard
from sftgen_train.viewer.library import Edition, Library
from sftgen_train.viewer.links import Served
from sftgen_train.viewer.naming import chosen_step, run_of
from sftgen_train.viewer.pages.arms import arms_page
from sftgen_train.viewer.pages.grid import grid_page
from sftgen_train.viewer.pages.item import ItemAsked, diagnosed_of, item_page, thinking_text
from sftgen_train.viewer.pages.items import items_page
from sftgen_train.viewer.pages.runs import runs_page
from sftgen_train.viewer.pages.verdicts import verdict_lines
from sftgen_train.viewer.rendering import page
from sftgen_train.viewer.verdicts import Verdicts

logger = logging.getLogger(__name__)

Shown = Callable[[Request, Edition], Response]


def viewer_app(library: Library, verdicts: Verdicts, token: str) -> Starlette:
    """The application.

    Args:
        library: The runs.
        verdicts: Works out what became of their scores.
        token: What a browser has to know.
    """
    screens = Screens(library, verdicts)
    static = StaticFiles(directory=str(resources.files("sftgen_train.viewer") / "static"))
    routes = [
        Route("/", screens.shown(screens.runs)),
        Route("/verdicts", screens.shown(screens.verdicts_of)),
        Route("/grid", screens.shown(screens.grid)),
        Route("/items", screens.shown(screens.items)),
        Route("/item", screens.shown(screens.item), methods=["GET", "POST"]),
        Route("/thinking", screens.shown(screens.thinking)),
        Route("/text", screens.shown(screens.text)),
        Route("/arms", screens.shown(screens.arms)),
        Route("/live", screens.shown(screens.live)),
        Mount("/static", static),
    ]
    return Starlette(
        routes=routes,
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={HTTPException: _no_page},
    )


def _no_page(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    return _problem("There is no such page", "Go on from the list of runs.", status)


class Screens:
    """The pages, each from a request to an answer. They run in threads: a query holds up no other request."""

    def __init__(self, library: Library, verdicts: Verdicts) -> None:
        self.library = library
        self.verdicts = verdicts

    def shown(self, screen: Shown) -> Callable[[Request], Response]:
        """A page that says what is wrong where it cannot be shown."""

        def answer(request: Request) -> Response:
            try:
                return screen(request, self.library.edition())
            except AddressError as error:
                return _problem("This address cannot be read", str(error), 400)
            except MissingError as error:
                return _problem("This is not in the runs", str(error), 404)
            except (SftgenError, OSError) as error:
                return _problem("The records cannot be read", str(error), 500)
            except Exception:
                logger.exception("%s failed", request.url.path)
                return _problem("This page failed", "It is a fault of sftgen: the terminal has its traceback.", 500)

        return answer

    def runs(self, request: Request, edition: Edition) -> Response:
        """The first page."""
        return _page("runs", edition, **runs_page(edition))

    def verdicts_of(self, request: Request, edition: Edition) -> Response:
        """The verdicts of a run, a part of the first page."""
        of = run_of(edition.outline, request.query_params.get("run", ""))
        try:
            found = self.verdicts.of(of.folder, edition.number)
        except (SftgenError, ValueError) as error:
            return _page("verdicts", edition, of=of, lines=[], found=None, problem=str(error))
        lines = verdict_lines(found) if found else []
        return _page("verdicts", edition, of=of, lines=lines, found=found, problem="")

    def grid(self, request: Request, edition: Edition) -> Response:
        """Task x step."""
        return _page("grid", edition, **grid_page(edition, request.query_params.get("run", "")))

    def items(self, request: Request, edition: Edition) -> Response:
        """Items, or only the list of them where a filter was changed."""
        name = "list" if request.headers.get("hx-target") == "list" else "items"
        return _page(name, edition, **items_page(edition, Choice.of(request.query_params)))

    def item(self, request: Request, edition: Edition) -> Response:
        """An item. Harmful texts are asked for by a click, which is no part of the address."""
        query = request.query_params
        asked = ItemAsked(
            text_value("of", query.get("of", "")),
            text_value("doc", query.get("doc", "")),
            whole_number("n", query["n"]) if query.get("n") else None,
            whole_number("repeat", query.get("repeat", "0")),
            marks=query.get("marks", "1") != "0",
            show=request.method == "POST",
        )
        return _page("item", edition, **item_page(edition, Choice.of(query), asked))

    def thinking(self, request: Request, edition: Edition) -> Response:
        """The thinking of a response, once it is opened."""
        task, doc, repeat, run, step = self._response(request, edition)
        rows = questions.texts(edition.records, task, doc, repeat, [run])
        row = next((row for row in rows if row["at_step"] == step), None)
        if row is None:
            raise MissingError("the text of this response is not in the records")
        diagnosed = diagnosed_of(edition, task, doc, repeat, [run]).get((run, step))
        return _page("thinking", edition, thought=thinking_text(response_of(row), None, diagnosed))

    def text(self, request: Request, edition: Edition) -> Response:
        """All of a response, as a file."""
        task, doc, repeat, run, step = self._response(request, edition)
        found = questions.whole_text(edition.records, task, doc, repeat=repeat, run=run, step=step)
        if found is None:
            raise MissingError("the text of this response is not in the records")
        name = f"{task}-{doc[:12]}-{step}-{repeat}.txt".encode("ascii", "replace").decode().replace("?", "_")
        name = "".join(letter if letter.isalnum() or letter in "._-" else "_" for letter in name)
        headers = {"content-disposition": f'attachment; filename="{name}"'}
        return PlainTextResponse(found.encode("utf-8", "replace"), headers=headers)

    def _response(self, request: Request, edition: Edition) -> tuple[str, str, int, str, int]:
        query = request.query_params
        task, doc = text_value("of", query.get("of", "")), text_value("doc", query.get("doc", ""))
        run = run_of(edition.outline, query.get("run", ""))
        if query.get("step") != "outside":
            whole_number("step", query.get("step", ""))
        step = chosen_step(query.get("step", ""), run.steps, 0)
        return task, doc, whole_number("repeat", query.get("repeat", "0")), run.run, step

    def arms(self, request: Request, edition: Edition) -> Response:
        """Several runs side by side."""
        return _page("arms", edition, **arms_page(edition, text_value("task", request.query_params.get("task", ""))))

    def live(self, request: Request, edition: Edition) -> Response:
        """Whether the runs have grown since a page was made."""
        seen = whole_number("edition", request.query_params.get("edition", "0"))
        if seen == edition.number:
            return Response(status_code=204)
        return _page("live", edition, grown=True)


def _page(template: str, edition: Edition, /, **context: Any) -> Response:
    several = len(edition.outline.runs) > 1
    return HTMLResponse(page(template, links=Served(), edition=edition.number, several=several, **context))


def _problem(what: str, why: str, status: int) -> Response:
    return HTMLResponse(page("problem", links=Served(), edition=0, several=False, what=what, why=why), status)
