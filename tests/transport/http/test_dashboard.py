"""The page at /: off unless enabled, opened by the keys that open /metrics, and drawn by a real browser."""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

import grpc
import httpx
import pytest
from tests.server.running import RunningServer, http_request, running_server
from tests.tenancy.keys import entry, key_of, write_keys

from pykyro.proto import kyrodb_pb2 as pb

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
KEY = key_of("acme")


def basic(password: str) -> str:
    return "Basic " + base64.b64encode(f"anybody:{password}".encode()).decode()


def with_keys(tmp_path: Path, **changed: object) -> dict[str, Any]:
    """A server that asks for keys, with a page."""
    return {
        "hnsw__dimension": 2,
        "auth__enabled": "true",
        "auth__api_keys_file": write_keys(tmp_path / "keys.yaml", entry(is_admin="true")),
        "server__observability_auth": "metrics_and_slo",
        "server__dashboard": "true",
    } | changed


def ask(server: RunningServer, path: str, **headers: str) -> httpx.Response:
    url = f"http://127.0.0.1:{server.http_port}{path}"
    return http_request("GET", url, headers)


def test_there_is_no_page_unless_it_is_wanted(tmp_path: Path) -> None:
    with running_server(tmp_path, **with_keys(tmp_path, server__dashboard="false")) as server:
        assert (ask(server, "/").status_code, ask(server, "/").content) == (404, b"")
        # A password is a browser's way to send a key, and without a page there is no browser.
        assert ask(server, "/metrics", authorization=basic(KEY)).status_code == 401
        assert ask(server, "/metrics", authorization=f"Bearer {KEY}").status_code == 200


def test_the_page_opens_to_the_keys_of_metrics(tmp_path: Path) -> None:
    with running_server(tmp_path, **with_keys(tmp_path)) as server:
        for headers in ({}, {"authorization": basic("wrong")}, {"authorization": "Basic ?"}):
            refused = ask(server, "/", **headers)
            assert (refused.status_code, refused.text) == (401, "unauthorized")
            assert refused.headers["www-authenticate"].startswith("Basic realm=")
        assert ask(server, "/metrics").headers["www-authenticate"] == "Bearer"
        for headers in ({"authorization": basic(KEY)}, {"x-api-key": KEY}):
            for path in ("/", "/metrics", "/slo", "/usage?scope=all"):
                assert ask(server, path, **headers).status_code == 200, path
        page = ask(server, "/", authorization=basic(KEY))
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["cache-control"] == "no-store"
        policy = page.headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; script-src 'sha256-")
        assert "connect-src 'self'" in policy
        assert "unsafe" not in policy


def test_the_page_asks_for_nothing_from_elsewhere() -> None:
    text = resources.files("pykyro.transport.http").joinpath("dashboard.html").read_text("utf-8")
    addresses = set(re.findall(r"https?://[^\s\"')]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"<(link|img|iframe|object|embed)\b|\bsrc=|@import|url\(|innerHTML|style=", text)


@pytest.mark.skipif(BROWSER is None, reason="needs Chromium")
def test_a_browser_draws_it(tmp_path: Path) -> None:
    assert BROWSER is not None
    with running_server(tmp_path, **with_keys(tmp_path)) as server:
        sent: dict[str, Any] = {"metadata": [("x-api-key", KEY)]}
        for doc_id in range(1, 42):
            server.stub.Insert(pb.InsertRequest(doc_id=doc_id, embedding=[1, doc_id]), **sent)
        with pytest.raises(grpc.RpcError):
            server.stub.Search(pb.SearchRequest(query_embedding=[1], k=3), **sent)
        picture = tmp_path / "page.png"
        drawn = subprocess.run(
            [
                BROWSER,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--enable-logging=stderr",
                f"--user-data-dir={tmp_path / 'profile'}",
                "--virtual-time-budget=6000",
                f"--screenshot={picture}",
                "--dump-dom",
                f"http://anybody:{KEY}@127.0.0.1:{server.http_port}/",
            ],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    assert "CONSOLE" not in drawn.stderr, drawn.stderr
    page = drawn.stdout
    assert re.search(r'<strong id="status" class="good">healthy</strong>', page), page[-3000:]
    assert re.search(r"<h2>Documents</h2><div class=\"value \">41</div>", page)
    assert "<td>acme</td><td>41</td>" in page.replace(' class=""', "")
    for words in (
        "Objectives, last 5 minutes",
        "WAL breaker",
        "closed",
        "Insert",
        "hot tier",
        "availability",
    ):
        assert words in page
    looks = re.search(r'data-looks="(\d+)"', page)
    assert looks is not None
    assert int(looks[1]) >= 2
    assert page.count("<path") == 8
    assert picture.stat().st_size > 10_000
