"""Who may read a viewer: only a browser on this machine that was given the token."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode

from markupsafe import Markup
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import HTMLResponse, PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""No script or style but our own files, nothing from elsewhere, and in no other page's frame."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}
HOSTS = frozenset({"127.0.0.1", "localhost", "[::1]"})
_LEAD_ON = Markup(
    '<!doctype html><html lang="en"><meta http-equiv="refresh" content="0;url={}">'
    '<link rel="icon" href="/static/icon.svg"><title>sftgen</title>'
)
_NOT_HERE = "sftgen view answers on this machine only: open it as http://127.0.0.1 or http://localhost.\n"
_NO_TOKEN = (
    "This address needs the token of its viewer. Open the whole address that `sftgen view` printed in the terminal, "
    "with `?token=...`; after that the address works without it.\n"
)


class Guard:
    """Lets a request through if it names this machine as its host and carries the token or its cookie."""

    def __init__(self, app: ASGIApp, token: str) -> None:
        self.app = app
        self.token = token
        # Cookies are shared by all ports of a host: each viewer has its own.
        self.cookie = "sftgen-" + hashlib.sha256(token.encode()).hexdigest()[:12]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        headers = Headers(scope=scope)
        # Another site's name that leads to this machine (DNS rebinding) is refused. Any port: it may be forwarded.
        if _without_port(headers.get("host", "")) not in HOSTS:
            await PlainTextResponse(_NOT_HERE, 403)(scope, receive, guarded)
            return
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        if "token" in query and self._is_token(query["token"]):
            await self._welcome(scope, query)(scope, receive, guarded)
        elif self._is_token(cookie_parser(headers.get("cookie", "")).get(self.cookie, "")):
            await self.app(scope, receive, guarded)
        else:
            await PlainTextResponse(_NO_TOKEN, 403)(scope, receive, guarded)

    def _is_token(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())

    def _welcome(self, scope: Scope, query: Mapping[str, str]) -> HTMLResponse:
        """Give the cookie, and lead to the address without the token.

        A page that leads on, and no redirect: a strict cookie is not sent on a redirect that another site's link began.
        """
        rest = urlencode({name: value for name, value in query.items() if name != "token"})
        # A path with two slashes would be another host.
        path = "/" + scope["path"].lstrip("/\\") + (f"?{rest}" if rest else "")
        page = _LEAD_ON.format(path)
        response = HTMLResponse(page)
        response.set_cookie(self.cookie, self.token, httponly=True, samesite="strict", path="/")
        return response


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return (name if colon and port.isdecimal() else host).lower()
