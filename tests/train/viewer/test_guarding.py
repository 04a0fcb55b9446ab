"""Who gets an answer, and with which headers."""

from __future__ import annotations

from functools import cache
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from urllib.parse import urlparse

import pytest

from sftgen_judges.records.schema import text_hash
from tests.train.viewer.conftest import Viewer, answering
from tests.train.viewer.made import HARMFUL, PARITY, SECRET

pytestmark = pytest.mark.xdist_group("viewer")


def ask(viewer: Viewer, path: str, **headers: str) -> tuple[HTTPResponse, str]:
    """A request without a browser, with the viewer's cookie unless another one is given."""
    connection = HTTPConnection(urlparse(viewer.base).netloc, timeout=120)
    connection.request("GET", path, headers={"cookie": headers.get("cookie") or cookie(viewer), **headers})
    response = connection.getresponse()
    return response, response.read().decode()


@cache
def cookie(viewer: Viewer) -> str:
    response, _ = ask(viewer, f"/?token={viewer.token}", cookie="-=-")
    return (response.getheader("set-cookie") or "").partition(";")[0]


def test_the_token_is_traded_for_a_cookie_that_scripts_and_other_sites_do_not_get(viewer: Viewer) -> None:
    response, text = ask(viewer, f"//evil.example/?token={viewer.token}&task=x%22%3E", cookie="-=-")
    given = response.getheader("set-cookie") or ""
    assert {"HttpOnly", "SameSite=strict", "Path=/"} <= {part.strip() for part in given.split(";")}
    assert 'content="0;url=/evil.example/?task=x%22%3E"' in text
    assert viewer.token not in text


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {"cookie": "-=-"}),
        ("/?token=wrong", {"cookie": "-=-"}),
        ("/?token=%C3%A9", {"cookie": "sftgen-=1"}),
        ("/static/viewer.css", {"cookie": "-=-"}),
        ("/", {"host": "evil.example"}),
        ("/", {"host": "127.0.0.1.evil.example:7420"}),
        ("/", {"host": "evil.example:80"}),
    ],
)
def test_nobody_else_gets_an_answer(viewer: Viewer, path: str, headers: dict[str, str]) -> None:
    response, text = ask(viewer, path, **headers)
    assert response.status == 403
    assert PARITY not in text


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:7420", "LOCALHOST:9999", "[::1]:7420"])
def test_a_forwarded_port_works(viewer: Viewer, host: str) -> None:
    assert ask(viewer, "/", host=host)[0].status == 200


@pytest.mark.parametrize("path", ["/", "/items", "/nothing", "/item?of=x&doc=y", "/static/viewer.js", "/items?step=x"])
def test_every_answer_forbids_what_is_not_ours(viewer: Viewer, path: str) -> None:
    response, _ = ask(viewer, path)
    policy = response.getheader("content-security-policy") or ""
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert response.getheader("x-content-type-options") == "nosniff"
    assert response.getheader("referrer-policy") == "no-referrer"
    assert response.getheader("cache-control") == "no-store"


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/items?step=x", 400, "step=&#39;x&#39;: expected a whole number"),
        ("/items?change=up", 400, "expected one of lost, won, kept, missed"),
        ("/items?q=" + "x" * 201, 400, "expected at most 200"),
        ("/items?page=99999999999", 400, "expected a whole number"),
        ("/items?step=7", 404, "0, 10, 40 have"),
        ("/items?run=other", 404, "is not open"),
        ("/items?task=none", 404, "has no graded answers"),
        ("/item?of=sftgen_parity&doc=none", 404, "has no item"),
        ("/text?of=x&doc=y&step=0", 404, "not in the records"),
        ("/nothing", 404, "There is no such page"),
        ("/static/../app.py", 404, "There is no such page"),
        ("/items?task=%27%3B+DROP+TABLE+runs%3B--", 404, "has no graded answers"),
    ],
)
def test_an_address_that_leads_nowhere_says_so_in_a_plain_page(
    viewer: Viewer, path: str, status: int, said: str
) -> None:
    response, text = ask(viewer, path)
    assert response.status == status
    assert said in text
    assert "<h1>" in text


def test_signs_of_sql_are_looked_for_as_they_are(viewer: Viewer) -> None:
    for sought in ("%", "_", "\\", "'", "Let me_see"):
        _, text = ask(
            viewer, f"/items?task={PARITY}&q=" + sought.replace("%", "%25").replace("\\", "%5C").replace(" ", "+")
        )
        assert ("nothing fits" in text) == (sought != "_"), sought  # $x_1^2$ has one


def test_a_text_is_a_file_and_never_a_page(viewer: Viewer) -> None:
    response, text = ask(viewer, f"/text?of={PARITY}&doc={text_hash(f'{PARITY} 5')}&step=40&repeat=0")
    assert response.getheader("content-type") == "text/plain; charset=utf-8"
    assert (response.getheader("content-disposition") or "").startswith('attachment; filename="sftgen_parity-')
    assert text.startswith("<think>")


def test_no_page_that_is_only_opened_holds_a_harmful_text(viewer: Viewer) -> None:
    item = f"of={HARMFUL}&doc={text_hash(f'{HARMFUL} 2')}"
    for path in ("/", "/grid", f"/items?task={HARMFUL}", "/items?q=forbidden", f"/item?{item}", f"/item?{item}&show=1"):
        assert SECRET not in ask(viewer, path)[1], path


def test_two_viewers_at_a_time_have_ports_and_cookies_of_their_own(viewer: Viewer, runs: tuple[Path, Path]) -> None:
    with answering(runs[1]) as other:
        assert other.base != viewer.base
        assert cookie(other).partition("=")[0] != cookie(viewer).partition("=")[0]
        both = f"{cookie(viewer)}; {cookie(other)}"
        assert ask(other, "/", cookie=both)[0].status == ask(viewer, "/", cookie=both)[0].status == 200
        assert ask(other, "/", cookie=cookie(viewer))[0].status == 403
