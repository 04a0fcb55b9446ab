"""The viewer in a real browser: what pages show is what the records hold, and every control does what it says."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from urllib.parse import parse_qs, urlparse

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from sftgen_judges.records.query import open_records
from sftgen_judges.records.schema import text_hash
from sftgen_judges.records.store import RunFolder
from sftgen_train.report.trajectories import trajectory
from sftgen_train.results.blocks import POOL, block_name
from sftgen_train.viewer.bundle import write_bundle
from tests.browser import ABSENT, BROWSER
from tests.train.viewer.conftest import Answer, Open, Viewer
from tests.train.viewer.made import DIAGNOSED, HARMFUL, PARITY, SECRET, STEPS, add_step, make_run, parity, question

pytestmark = [pytest.mark.skipif(BROWSER is None, reason=ABSENT), pytest.mark.xdist_group("viewer")]


def item_address(viewer: Viewer, task: str, place: int, more: str = "") -> str:
    return f"{viewer.base}/item?of={task}&doc={text_hash(f'{task} {place}')}{more}"


def choose(page: Page, name: str, value: str) -> None:
    """A choice on a page that is whole: before that, its script does not listen."""
    field = page.locator(f"select[name={name}]")
    field.wait_for(state="attached")
    page.wait_for_load_state()
    field.select_option(value)


def test_the_first_page_has_the_verdicts_that_the_records_give(
    open_page: Open, viewer: Viewer, runs: tuple[Path, Path]
) -> None:
    page = open_page(viewer.address)
    expect(page.locator("article h2").first).to_have_text("alpha")
    expect(page.locator(".verdicts")).to_have_count(2)
    found = trajectory(runs[0])[0].tasks
    rows = page.locator("article").first.locator(".verdicts tbody tr")
    shown = [row.inner_text() for row in rows.all()]
    assert len(found) == 2
    for verdict, text in zip(found, shown, strict=False):
        assert verdict.name.removeprefix("sftgen_") in text
        assert verdict.end in text
        assert f"{verdict.end_change:+.3f}".replace("-", "\N{MINUS SIGN}") in text
    page.locator(".why summary").first.click()
    expect(page.locator(".why p").first).to_have_text(found[0].sentence())
    page.get_by_role("link", name="Lost since the first step").first.click()
    assert parse_qs(urlparse(page.url).query)["change"] == ["lost"]


def test_the_grid_has_the_means_of_the_records(open_page: Open, viewer: Viewer, runs: tuple[Path, Path]) -> None:
    page = open_page(viewer.address)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Grid").click()
    rows = {row.locator("th").inner_text().split()[0]: row for row in page.locator(".grid tbody tr").all()}
    for row in open_records(runs[0]).sql("SELECT * FROM metrics WHERE metric = 'score'").rows():
        cell = rows[row["task"].removeprefix("sftgen_")].locator("td.n").nth(STEPS.index(row["step"]))
        assert cell.locator("a").inner_text() == f"{row['mean']:.2f}"
        assert f"n {row['docs']}" in cell.inner_text()
    rows["parity"].locator("td.n a").nth(1).click()
    assert parse_qs(urlparse(page.url).query) | {"task": [PARITY], "step": ["10"]} == parse_qs(urlparse(page.url).query)


COUNT = """SELECT count(*) AS n FROM
    (SELECT task, doc_hash, avg(score) AS a, bool_or(truncated) AS cut, avg(tokens) AS tokens
        FROM samples WHERE step = 40 GROUP BY ALL) AS x
    LEFT JOIN (SELECT task, doc_hash, avg(score) AS b FROM samples WHERE step = $before GROUP BY ALL) AS y
    USING (task, doc_hash) WHERE """


def test_every_filter_lists_what_the_records_hold_and_stands_in_the_address(
    open_page: Open, viewer: Viewer, runs: tuple[Path, Path]
) -> None:
    records = open_records(runs[0])
    page = open_page(viewer.address)
    page.goto(f"{viewer.base}/items")
    total = page.locator("#total")

    def holds(where: str, before: int = 0) -> None:
        [row] = records.sql(COUNT + where, {"before": before}).rows()
        expect(total).to_have_text(str(row["n"]))

    holds("true")
    for change, where in (
        ("lost", "a < b"),
        ("won", "a > b"),
        ("kept", "a = b AND a > 0"),
        ("missed", "a = b AND a = 0"),
    ):
        choose(page, "change", change)
        holds(where)
    choose(page, "change", "won")
    choose(page, "before", "10")
    holds("a > b", 10)
    choose(page, "task", PARITY)
    page.wait_for_url("**task=sftgen_parity**")
    holds("a > b AND task = 'sftgen_parity'", 10)
    page.get_by_text("More filters").click()
    choose(page, "score", "1")
    holds("a > b AND task = 'sftgen_parity' AND a = 1", 10)
    choose(page, "sort", "tokens")
    # Sent to a colleague, the address shows the same.
    sent, shown = page.url, page.locator("#list .id").all_inner_texts()
    page.goto(f"{viewer.base}/")
    page.goto(sent)
    assert page.locator("#list .id").all_inner_texts() == shown
    assert page.locator("select[name=score]").input_value() == "1"
    page.goto(f"{viewer.base}/items?task={PARITY}&step=10")
    page.get_by_text("More filters").click()
    choose(page, "cut", "yes")
    expect(total).to_have_text("14")
    choose(page, "cut", "")
    choose(page, "status", "truncated")
    expect(total).to_have_text("14")
    choose(page, "status", "")
    page.locator("input[name=q]").fill("X_17^2")
    expect(total).to_have_text("1")
    choose(page, "where", "questions")
    expect(total).to_have_text("1")
    page.locator("input[name=q]").fill("no such words")
    expect(page.locator("#list")).to_contain_text("nothing fits these filters")
    page.go_back()
    expect(total).to_have_text("1")


def press(page: Page, key: str) -> None:
    """A key on a page that is whole: before that, its script does not listen."""
    page.wait_for_load_state()
    page.keyboard.press(key)


def test_pages_of_a_list_and_the_steps_of_an_item_by_keys_alone(open_page: Open, viewer: Viewer) -> None:
    page = open_page(viewer.address)
    page.goto(f"{viewer.base}/items?task={PARITY}&sort=item")
    assert "Is the number of ones in $x_0^2$ even?" in page.locator(".question").first.inner_text()
    assert page.locator("#list tbody tr").count() == 50
    page.get_by_role("link", name="Next").click()
    expect(page.locator("#list tbody tr")).to_have_count(20)
    press(page, "j")
    press(page, "j")
    press(page, "Enter")
    expect(page.locator(".crumbs")).to_contain_text("52 of 70")
    name = page.locator("h1").inner_text()
    press(page, "j")
    expect(page.locator(".crumbs")).to_contain_text("53 of 70")
    press(page, "k")
    expect(page.locator(".crumbs")).to_contain_text("52 of 70")
    expect(page.locator("h1")).to_have_text(name)
    page.wait_for_load_state()
    for step in ("step 0", "step 10"):
        press(page, "ArrowRight")
        assert step in page.evaluate("document.activeElement.querySelector('h2')?.innerText")
    press(page, "ArrowLeft")
    assert page.evaluate("document.activeElement.querySelector('h2').innerText") == "step 0"
    press(page, "d")
    expect(page.get_by_role("button", name="Differences off")).to_be_visible()
    assert page.locator(".answer ins").count() == 0
    press(page, "u")
    expect(page.locator("#list tbody tr")).to_have_count(20)
    press(page, "/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_what_diagnostics_mark_stands_in_the_texts(open_page: Open, viewer: Viewer) -> None:
    page = open_page(viewer.address)
    page.goto(item_address(viewer, PARITY, DIAGNOSED))
    first, last = page.locator(".column").first, page.locator(".column").last
    # The formula holds an x, which the checkpoint of step 40 would not have written.
    expect(first.locator(".answer .shift-3")).to_have_count(1)
    assert first.locator(".answer .shift-3").get_attribute("title") == "KL to the base 3.00 nats at step 40"
    last.locator(".thinking summary").click()
    marked = last.locator(".thinking mark.label")
    expect(marked).to_have_text("Let me ")
    assert marked.get_attribute("title") == "patterns: verification (<b>looks</b>), by rule"
    assert last.locator(".thinking .shift-2").all_inner_texts() == ["Let "]
    keys = page.locator(".keys")
    assert "what diagnostics marked: point at it to see what" in keys.inner_text()
    assert "0.1 0.5 2.0 5.0 nats or more from the base" in keys.inner_text()
    page.goto(item_address(viewer, PARITY, 5))
    assert "nats" not in page.locator(".keys").inner_text()
    assert page.locator(".column .shift").count() == 0


def test_an_item_at_every_checkpoint(open_page: Open, viewer: Viewer) -> None:
    page = open_page(viewer.address)
    page.goto(item_address(viewer, PARITY, 5))
    columns = page.locator(".column")
    expect(columns).to_have_count(3)
    first, cut, last = columns.all()
    assert first.locator(".score").inner_text() == "1"
    assert first.locator("math").count() == 1
    assert first.locator("mark.label").inner_text() == "even"
    assert "lost" in cut.locator(".marks").inner_text()
    assert "truncated" in cut.inner_text()
    assert "The thinking never ended" in cut.inner_text()
    # It is wrong at last, and says so in other words.
    assert last.locator("ins").all_inner_texts() == ["counted ", "odd"]
    assert last.locator("del").all_inner_texts() == ["looked ", "even"]
    last.locator(".thinking summary").click()
    expect(last.locator(".thinking .text")).to_have_text("Let me see at step 40.")
    page.get_by_text("Prompt as the model got it").click()
    assert page.locator("pre.raw").inner_text() == question(5)
    assert page.locator(".prompt .question").inner_text().startswith("Is the number of ones")
    assert "read & compared <b>well</b>" in first.inner_text()
    with page.expect_download() as download:
        last.get_by_role("link", name="Show all as plain text").click()
    assert Path(download.value.path()).read_text() == parity()(5, 40, 0)[0]
    page.get_by_role("navigation", name="Samples").get_by_role("link").nth(1).click()
    assert "repeat=1" in page.url


def test_arms_side_by_side_and_an_item_in_both(open_page: Open, viewer: Viewer, runs: tuple[Path, Path]) -> None:
    page = open_page(viewer.address)
    page.get_by_role("link", name="Arms").click()
    one, other = page.locator(".grid tbody tr").all()
    means = [
        {row["step"]: row["mean"] for row in open_records(run).sql(
            f"SELECT step, mean FROM metrics WHERE metric = 'score' AND task = '{PARITY}'").rows()}
        for run in runs
    ]  # fmt: skip
    for place, step in enumerate(STEPS):
        assert one.locator("td.n a").nth(place).inner_text() == f"{means[0][step]:.2f}"
        change = f"{means[1][step] - means[0][step]:+.2f}".replace("-", "\N{MINUS SIGN}").replace("+0.00", "0.00")
        assert change in other.locator("td.n").nth(place).inner_text()
    other.locator("td.n a").last.click()
    choose(page, "change", "won")
    expect(page.locator("#total")).to_have_text("6")
    page.locator("#list .open").first.click()
    assert page.locator(".column h2").all_inner_texts() == [
        f"{run} step {step}" for run in ("alpha", "beta") for step in STEPS
    ]


def test_harmful_texts_are_shown_for_one_item_after_a_click_and_then_folded_again(
    open_page: Open, viewer: Viewer
) -> None:
    page = open_page(viewer.address)
    page.goto(f"{viewer.base}/items?task={HARMFUL}&q=forbidden")
    expect(page.locator("#total")).to_have_text("3")
    assert SECRET not in page.content()
    page.locator("#list .open").first.click()
    assert SECRET not in page.content()
    address = page.url
    page.locator("#reveal").focus()
    press(page, "Enter")
    expect(page.locator(".columns")).to_contain_text(SECRET)
    assert page.url == address
    page.goto(address)
    assert SECRET not in page.content()
    assert SECRET not in page.evaluate("JSON.stringify(localStorage) + JSON.stringify(sessionStorage)")


def test_an_item_that_exists_at_some_steps_only(open_page: Open, viewer: Viewer) -> None:
    page = open_page(viewer.address)
    page.goto(f"{viewer.base}/items?task={HARMFUL}&step=0&before=40&sort=item")
    row = page.locator("#list tbody tr").first
    assert "not asked at this step" in row.inner_text()
    row.locator(".open").click()
    page.locator("#reveal").click()
    assert ["not asked at this step" in text for text in page.locator(".column").all_inner_texts()] == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize(("width", "dark"), [(390, False), (1400, True)])
def test_pages_fit_and_break_no_rule_of_wcag(open_page: Open, viewer: Viewer, width: int, dark: bool) -> None:
    page = open_page(viewer.address, width=width, dark=dark)
    expect(page.locator(".verdicts")).to_have_count(2)
    addresses = (
        "/",
        "/grid",
        f"/items?task={PARITY}&change=lost",
        "/arms",
        item_address(viewer, PARITY, 5),
        "/items?step=7",
    )
    rules = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]}}
    for address in addresses[:-1]:
        if address != "/":
            page.goto(address if address.startswith("http") else viewer.base + address)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, address
        found = Axe().run(page, options=rules)
        assert found.violations_count == 0, f"{address}: {found.generate_report()}"


HOSTILE = [
    '<script>window.hacked = 1</script><img src=x onerror="window.hacked = 1"><a href="javascript:hacked()">x</a>',
    "$\\text{<script>window.hacked = 1</script>}$ $\\href{javascript:window.hacked=1}{x}$ $\\unicode{x3c}$",
    "```html\n</pre><script>window.hacked = 1</script>\n```\n<style>body{display:none}</style>",
    "a" * 1_000_000,
    "x " * 2_500_000,
    "\u202egnp.exe\u2066 \x00 \x1b[31mred\x1b]0;title\x07 \ud800 \u200b end",
    "```\n" * 3000 + "$" * 3000 + "\\boxed{" * 3000,
]


def test_hostile_texts_do_nothing(open_page: Open, answer: Answer, tmp_path: Path) -> None:
    task = "x<img src=x onerror=hacked()>"
    run = RunFolder(tmp_path / "<b>run<"[:6])
    run.update_manifest(model="<script>window.hacked = 1</script>", tasks=[task], command="\x1b[31m<i>")
    for step in (0, 5):
        add_step(run, step, {task: (HOSTILE, 1, lambda place, step, _: (f"{step} {HOSTILE[place]}", 1.0), "rule")})
    viewer = answer(run.path)
    page = open_page(viewer.address)
    for address in ("/", "/grid", "/items"):
        page.goto(viewer.base + address)
        assert page.locator("img, article script, main style").count() == 0
    for place in range(len(HOSTILE)):
        page.goto(f"{viewer.base}/item?of={task}&doc={text_hash(f'{task} {place}')}")
        expect(page.locator(".column")).to_have_count(2)
        assert page.locator("main :is(img, script, style, iframe, object, a[href^='javascript'])").count() == 0
        assert page.evaluate("document.documentElement.scrollWidth") <= 1400
        text = page.locator(".answer").first.inner_text()
        if place == 0:
            assert text.endswith(HOSTILE[0])
        if place == 4:
            assert "5.0 million characters" in page.locator(".column").first.inner_text()
            assert len(page.content()) < 200_000
            with page.expect_download() as download:
                page.get_by_role("link", name="Show all as plain text").first.click()
            assert Path(download.value.path()).stat().st_size == len(HOSTILE[4]) + 2
        if place == 5:
            assert not set(text) & set("\u202e\u2066\x00\x1b\x07\u200b")
            assert "\N{SYMBOL FOR ESCAPE}[31m" in text
            assert "U+202E" in text


def test_a_run_that_goes_on_is_read_again(open_page: Open, answer: Answer, tmp_path: Path) -> None:
    run = make_run(tmp_path / "live", steps=(0, 10), safety=False)
    viewer = answer(run.path)
    page = open_page(viewer.address)
    page.goto(f"{viewer.base}/grid")
    expect(page.locator(".grid thead th.n")).to_have_count(2)
    add_step(run, 40, {PARITY: ([question(n) for n in range(70)], 2, parity(), "rule")})
    run.compact()
    page.get_by_role("link", name="New results").click()
    expect(page.locator(".grid thead th.n")).to_have_count(3)


def test_a_curated_pool_is_one_task_however_many_blocks_it_has(open_page: Open, answer: Answer, tmp_path: Path) -> None:
    run, sizes = RunFolder(tmp_path / "pool"), (2, 3, 6)
    blocks = {block_name(block): size for block, size in enumerate(sizes)}
    write = {name: lambda document, _, repeat: (f"number {document}", float(document < 2)) for name in blocks}
    add_step(
        run, None, {name: ([question(n) for n in range(size)], 1, write[name], "rule") for name, size in blocks.items()}
    )
    viewer = answer(run.path)
    page = open_page(viewer.address)
    expect(page.locator(".facts").first).to_contain_text("1 task")
    page.goto(f"{viewer.base}/grid")
    [row] = page.locator(".grid tbody tr").all()
    assert row.locator("th").inner_text() == POOL
    assert "0.55" in row.inner_text()  # six of eleven documents, whatever block they are in
    row.get_by_role("link").click()
    assert parse_qs(urlparse(page.url).query)["task"] == [POOL]
    expect(page.locator("tbody th a.open")).to_have_count(sum(sizes))
    page.goto(f"{page.url}&q=number+5")
    expect(page.locator("tbody th a.open")).to_have_count(1)
    page.locator("tbody th a.open").click()
    expect(page.locator(".column")).to_contain_text("number 5")
    expect(page.locator(".crumbs")).to_contain_text(POOL)


@pytest.fixture(scope="module")
def bundle(runs: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundled") / "bundle"
    assert write_bundle([runs[0]], folder, most=20) == 20
    return folder


@pytest.fixture
def served(bundle: Path) -> Iterator[str]:
    handler = partial(_Quiet, directory=str(bundle))
    with _Server(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


class _Server(http.server.ThreadingHTTPServer):
    request_queue_size = 64  # a browser opens several connections at once


class _Quiet(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # 1.0 closes each connection, which a browser may just then use again

    def log_message(self, *_: object) -> None:
        pass


def walk(page: Page) -> None:
    """From the first page to an item and on."""
    expect(page.locator(".verdicts tbody tr")).not_to_have_count(0)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Grid").click()
    expect(page.locator(".grid thead th.n")).to_have_count(3)
    page.get_by_role("navigation", name="Pages").get_by_role("link", name="Items").click()
    expect(page.locator("#counted")).to_have_text("20 of 20 items")
    choose(page, "task", HARMFUL)
    expect(page.locator("#counted")).to_have_text("6 of 20 items")
    choose(page, "task", PARITY)
    choose(page, "change", "lost")
    shown = page.locator("#list tbody tr:visible")
    assert 0 < shown.count() < 14
    page.locator("#list tbody tr:visible .open").first.click()
    expect(page.locator(".column")).to_have_count(3)
    page.locator(".thinking summary").first.click()
    expect(page.locator(".thinking .text").first).to_contain_text("Let me see")
    press(page, "j")
    expect(page.locator(".crumbs")).not_to_contain_text("1 of 20")


def test_a_bundle_works_from_a_folder(open_page: Open, bundle: Path) -> None:
    walk(open_page((bundle / "index.html").as_uri()))


def test_a_bundle_works_from_any_web_server(open_page: Open, served: str) -> None:
    walk(open_page(served))


def test_a_bundle_holds_harmful_texts_only_if_asked(bundle: Path, runs: tuple[Path, Path], tmp_path: Path) -> None:
    files = [path for path in bundle.rglob("*") if path.is_file()]
    assert not [path for path in files if SECRET in path.read_text()]
    assert not [path for path in files if str(runs[0]) in path.read_text()]
    copy = tmp_path / "again"
    shutil.copytree(bundle, copy)
    write_bundle([runs[0]], copy, most=20, harmful=True)
    found = [path for path in copy.rglob("*.html") if SECRET in path.read_text()]
    assert len(found) == 6
    assert all('<details class="fold">' in path.read_text() for path in found)
