"""Settings for object stores: where they come from, and what is said when they are missing."""

from __future__ import annotations

import os
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import ClassVar

import boto3
import pytest
from tests.backup.conftest import BUCKET

from pykyro.backup.target.locate import open_target
from pykyro.backup.target.object_store import ObjectStoreTarget
from pykyro.backup.target.target import DirectoryTarget
from pykyro.config.place import local_place

NAME = "backup_20250601T120000Z.json"
CLOSED = "http://127.0.0.1:9"
"""The port for discarding, where nothing listens."""


@pytest.fixture
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """An environment without settings for any store, with a home directory that is empty."""
    for name in list(os.environ):
        if name.startswith(("AWS_", "GOOGLE_", "AZURE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", CLOSED)
    return monkeypatch


def reach(place: str) -> None:
    target = open_target(place)
    target.put(NAME, b"{}")
    assert target.sizes() == {NAME: 2}
    target.remove(NAME)
    target.remove(NAME)
    assert target.sizes() == {}


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy"])
def test_store_on_this_machine_is_reached_without_the_proxy_of_the_environment(
    bucket: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, CLOSED)
    monkeypatch.setenv("no_proxy", "example.com")
    reach(f"s3://{bucket}/p")


class _Proxy(BaseHTTPRequestHandler):
    """Refuses all, and keeps what was asked for."""

    asked: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_error(403)

    def log_message(self, format: str, *args: object) -> None:
        pass


def test_store_elsewhere_is_reached_by_the_proxy_of_the_environment(
    bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with HTTPServer(("127.0.0.1", 0), _Proxy) as proxy:
        thread = threading.Thread(target=proxy.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
            monkeypatch.setenv("AWS_ENDPOINT_URL", "http://store.invalid")
            with pytest.raises(OSError, match="check the credentials, and what they allow"):
                open_target(f"s3://{bucket}/p").sizes()
        finally:
            proxy.shutdown()
            thread.join()
    assert _Proxy.asked
    assert all(url.startswith("http://store.invalid/backups?") for url in _Proxy.asked)


def test_prefix_with_an_empty_part_is_refused(bucket: str) -> None:
    with pytest.raises(OSError, match="empty path segment"):
        open_target(f"s3://{bucket}/a//b")


@pytest.mark.parametrize("prefix", ["a b", "a%20b", "ü/x~y", "a/b/", "{x}"])
def test_prefix_is_the_beginning_of_the_key_as_it_is_written(bucket: str, prefix: str) -> None:
    target = open_target(f"s3://{bucket}/{prefix}")
    target.put(NAME, b"{}")
    assert target.sizes() == {NAME: 2}
    (item,) = boto3.client("s3").list_objects_v2(Bucket=bucket)["Contents"]
    assert item["Key"] == f"{prefix.strip('/')}/{NAME}"
    assert bytes(target.open(NAME).read(0, 2)) == b"{}"


def test_objects_of_other_prefixes_are_not_listed(bucket: str) -> None:
    for prefix in ("", "a", "a/b", "ab"):
        ObjectStoreTarget(bucket, prefix).put(NAME, b"x" * (1 + len(prefix)))
    assert ObjectStoreTarget(bucket, "").sizes() == {NAME: 1}
    assert ObjectStoreTarget(bucket, "a").sizes() == {NAME: 2}


def use_profile(home: Path, config: str, credentials: str = "") -> None:
    (home / ".aws").mkdir()
    (home / ".aws/config").write_text(config)
    (home / ".aws/credentials").write_text(credentials)


@pytest.mark.parametrize("profile", ["default", "backups"])
def test_settings_come_from_the_files_of_the_aws_command_line(
    bucket: str, s3_server: str, clean: pytest.MonkeyPatch, tmp_path: Path, profile: str
) -> None:
    section = profile if profile == "default" else f"profile {profile}"
    use_profile(
        tmp_path,
        f"[{section}]\nregion = us-east-1\nendpoint_url = {s3_server}\ns3 =\n  addressing_style = path\n",
        f"[{profile}]\naws_access_key_id = a%b\naws_secret_access_key = c\naws_session_token = d\n",
    )
    if profile != "default":
        with pytest.raises(OSError, match=r"no credentials were found.*AWS_ACCESS_KEY_ID"):
            reach(f"s3://{bucket}")
        clean.setenv("AWS_PROFILE", profile)
    reach(f"s3://{bucket}/p")


def test_credential_process_of_a_profile_runs(
    bucket: str, s3_server: str, clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    answer = '{"Version": 1, "AccessKeyId": "a", "SecretAccessKey": "b"}'
    (tmp_path / "answer.json").write_text(answer)
    use_profile(tmp_path, f"[default]\ncredential_process = cat {tmp_path}/answer.json\nregion = us-east-1\n")
    clean.setenv("AWS_ENDPOINT_URL_S3", s3_server)
    reach(f"s3://{bucket}/p")
    clean.setitem(sys.modules, "boto3", None)
    clean.delitem(sys.modules, "obstore.auth.boto3")
    with pytest.raises(OSError, match="pip install boto3, or set AWS_ACCESS_KEY_ID"):
        open_target(f"s3://{bucket}/p")


def test_profile_that_is_missing_or_unreadable_is_told_without_its_content(
    clean: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    clean.setenv("AWS_PROFILE", "nobody")
    with pytest.raises(OSError, match="the AWS profile 'nobody' is in none of the files"):
        open_target("s3://bucket")
    use_profile(tmp_path, "[default]\n", "aws_secret_access_key = secret\n")
    with pytest.raises(OSError, match=r"credentials cannot be read") as refused:
        open_target("s3://bucket")
    assert "secret " not in str(refused.value)


@pytest.mark.parametrize(
    ("place", "settings"),
    [
        (
            "s3://bucket/p",
            {"AWS_ENDPOINT_URL": CLOSED, "AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "b"},
        ),
        ("gs://bucket/p", {"GOOGLE_BASE_URL": CLOSED, "GOOGLE_SKIP_SIGNATURE": "true"}),
        ("az://container/p", {"AZURE_STORAGE_USE_EMULATOR": "true", "AZURITE_BLOB_STORAGE_URL": CLOSED}),
    ],
)
def test_store_that_does_not_answer_is_named_with_what_to_check(
    place: str, settings: dict[str, str], clean: pytest.MonkeyPatch
) -> None:
    for name, value in settings.items():
        clean.setenv(name, value)
    with pytest.raises(OSError, match=r"127\.0\.0\.1:9/.*; check the endpoint, the network") as refused:
        open_target(place).sizes()
    assert refused.value.filename == place


def test_missing_settings_are_named(clean: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="set AZURE_STORAGE_ACCOUNT_NAME"):
        open_target("az://container/p")
    clean.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "none.json"))
    with pytest.raises(OSError, match=r"none\.json"):
        open_target("gs://bucket")
    clean.setenv("AWS_CA_BUNDLE", str(tmp_path / "none.pem"))
    with pytest.raises(FileNotFoundError, match=r"none\.pem"):
        open_target(f"s3://{BUCKET}")


def test_url_of_a_file_is_a_directory(tmp_path: Path) -> None:
    target = open_target(f"{(tmp_path / 'a b').as_uri()}")
    assert isinstance(target, DirectoryTarget)
    assert target.location == str(tmp_path / "a b")
    assert local_place("file://localhost/var/b") == "/var/b"
    for other in ("/var/b", "s3://b/p", "file:relative", "file://host/x", "file:///x?y", "file:///x#y"):
        assert local_place(other) == other
