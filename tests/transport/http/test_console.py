"""The console at /console/, in a real browser where there is one."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from tests.server.running import RunningServer, http_request, running_server
from tests.transport.http.test_dashboard import KEY, with_keys
from tests.transport.rest.door import client_of

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
FILES = {file.name: file for file in resources.files("pykyro.transport.http").joinpath("console").iterdir()}
MARKUP = "<img src=x onerror=\"document.title='taken'\">"
TRAVERSALS = (
    "..%2fdashboard.html",
    "%2e%2e/http.py",
    "....//http.py",
    "app.js/",
    "app.js%00",
    "//etc/passwd",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    with running_server(tmp_path_factory.mktemp("console"), server__dashboard="true") as running:
        with client_of(running.http_port) as rest:
            created = rest.put(
                "/v1/collections/books",
                json={"dimension": 4, "id_type": "text", "text": {"keys": ["title"]}},
            )
            assert created.status_code == 201, created.text
            documents = [
                {
                    "id": f"book-{at}" if at else MARKUP,
                    "vector": [1, at % 7, at % 5, at % 3],
                    "metadata": {"title": f"A tale of {at} whales" if at else MARKUP, "year": 1800 + at},
                }
                for at in range(120)
            ]
            stored = rest.post("/v1/collections/books/documents", json={"documents": documents})
            assert stored.json()["inserted"] == 120, stored.text
        yield running


def test_each_file_comes_with_a_policy_that_allows_nothing_inline(server: RunningServer) -> None:
    for name in FILES:
        answer = server.http("/console/" if name == "index.html" else f"/console/{name}")
        assert answer.status_code == 200, name
        assert answer.content == FILES[name].read_bytes()
        policy = answer.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
        assert "unsafe" not in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
    assert server.http("/console/", method="POST").status_code == 405


@pytest.mark.parametrize("path", TRAVERSALS)
def test_a_path_that_is_no_file_of_the_console_is_not_found(server: RunningServer, path: str) -> None:
    answer = http_request("GET", f"http://127.0.0.1:{server.http_port}/console/{path}")
    assert (answer.status_code, answer.content) == (404, b"")


def test_the_console_is_there_only_where_it_is_asked_for(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        assert server.http("/console/").status_code == 404


def test_no_file_writes_markup_or_asks_elsewhere() -> None:
    for name, file in FILES.items():
        text = file.read_text("utf-8")
        assert set(re.findall(r"https?://[^\s\"')]+", text)) <= {"http://www.w3.org/2000/svg"}, name
        found = re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|localStorage|\bstyle=", text
        )
        assert found is None, (name, found)


@pytest.fixture
def page(server: RunningServer) -> Iterator[Any]:
    if BROWSER is None:
        pytest.skip("needs Chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        faults: list[str] = []
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("console", lambda said: faults.append(said.text) if said.type == "error" else None)
        page.goto(f"http://127.0.0.1:{server.http_port}/console/")
        page.locator("#collections button", has_text="books").click()
        page.locator("#collections button[aria-current=true]", has_text="books").wait_for()
        page.get_by_text("120 documents match").wait_for()
        page.wait_for_load_state("networkidle")
        yield page
        assert faults == []
        browser.close()


def test_markup_in_ids_and_metadata_is_shown_as_text(page: Any) -> None:
    page.get_by_label("Filter (JSON)").fill('{"year": 1800}')
    page.get_by_role("button", name="Show").click()
    page.get_by_text("1 documents match").wait_for()
    assert page.locator("td").first.text_content() == MARKUP
    assert page.locator("img").count() == 0
    assert page.title() == "KyroDB console"


def test_a_person_searches_by_words_and_then_for_more_like_a_hit(page: Any) -> None:
    page.get_by_role("tab", name="Search").click()
    page.get_by_label("Text", exact=True).fill("7 whales")
    page.get_by_role("button", name="Search", exact=True).click()
    page.get_by_role("heading", name="How it was found").wait_for()
    page.get_by_role("button", name="More like book-7", exact=True).click()
    page.locator("td", has_text=re.compile("^1$")).first.wait_for()


def test_the_map_and_the_figures_are_drawn_and_reached_by_keys(page: Any) -> None:
    page.get_by_role("tab", name="Search").click()
    page.keyboard.press("ArrowRight")
    page.locator("circle.point").nth(119).wait_for(state="attached")
    page.keyboard.press("ArrowRight")
    page.get_by_role("img", name=re.compile("Searches")).wait_for()
    assert page.get_by_role("tab", name="Server").get_attribute("aria-selected") == "true"


def test_a_key_typed_in_opens_what_it_may_see_and_is_kept_in_the_tab_alone(tmp_path: Path) -> None:
    if BROWSER is None:
        pytest.skip("needs Chromium")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    settings = with_keys(tmp_path, server__observability_auth="metrics_and_slo")
    with running_server(tmp_path, **settings) as server, playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(f"http://127.0.0.1:{server.http_port}/console/")
        page.get_by_role("alert").filter(has_text="401").wait_for()
        page.get_by_label("API key").fill(KEY)
        page.get_by_role("button", name="Use", exact=True).click()
        page.get_by_text("0 documents match").wait_for()
        page.get_by_role("tab", name="Server").click()
        page.get_by_role("heading", name="Tenants and usage").wait_for()
        assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
        assert page.get_by_label("API key").input_value() == ""
        browser.close()


def test_a_bad_filter_is_said_and_changes_nothing(page: Any) -> None:
    page.get_by_label("Filter (JSON)").fill("{bad")
    page.get_by_role("button", name="Show").click()
    page.get_by_role("alert").filter(has_text="The filter is no JSON").wait_for()
