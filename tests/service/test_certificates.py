"""Until when certificates are good: what is past its end is refused, and what is near it is said."""

from __future__ import annotations

import datetime
import time
from dataclasses import replace
from pathlib import Path

import pytest
import trustme

from pykyro.cli.diagnosis.certificates import check_certificates
from pykyro.cli.diagnosis.finding import Severity
from pykyro.config.settings.server import TlsSettings
from pykyro.model.errors import ConfigError
from pykyro.service.certificates import ExpiryWatch, Validity
from pykyro.transport.tls import Certificates

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)
CA = trustme.CA()


def written(
    directory: Path, leaf: trustme.LeafCert, chain: bytes | None = None, ca: bytes = b""
) -> TlsSettings:
    (directory / "cert.pem").write_bytes(chain or b"".join(blob.bytes() for blob in leaf.cert_chain_pems))
    (directory / "key.pem").write_bytes(leaf.private_key_pem.bytes())
    (directory / "ca.pem").write_bytes(ca or CA.cert_pem.bytes())
    return TlsSettings(
        enabled=True,
        cert_path=directory / "cert.pem",
        key_path=directory / "key.pem",
        ca_cert_path=directory / "ca.pem",
    )


def leaf(
    begins: datetime.timedelta, ends: datetime.timedelta, authority: trustme.CA = CA
) -> trustme.LeafCert:
    return authority.issue_cert("localhost", not_before=NOW + begins, not_after=NOW + ends)


def refusal(settings: TlsSettings) -> str:
    with pytest.raises(ConfigError) as refused:
        Certificates.read(settings)
    (fault,) = refused.value.faults
    findings = list(check_certificates(settings))
    assert [finding.severity for finding in findings] == [Severity.WRONG]
    assert findings[0].text == fault
    return fault


def test_one_that_has_expired_is_refused_with_the_day(tmp_path: Path) -> None:
    settings = written(tmp_path, leaf(-9 * DAY, -2 * DAY))
    day = (NOW - 2 * DAY).strftime("%Y-%m-%dT%H:%M:%SZ")
    fault = refusal(settings)
    assert fault.startswith(f"server.tls.cert_path: {settings.cert_path}: ")
    assert f"expired on {day}: put a new certificate there" in fault


def test_one_that_is_not_valid_yet_is_refused_with_what_the_clock_says(tmp_path: Path) -> None:
    fault = refusal(written(tmp_path, leaf(2 * DAY, 9 * DAY)))
    assert "is not valid before" in fault
    assert "the clock of this machine says" in fault


def test_one_that_was_signed_by_an_expired_one_is_refused_and_a_root_is_the_clients_affair(
    tmp_path: Path,
) -> None:
    old = trustme.CA(parent_cert=CA)
    ended = leaf(-9 * DAY, -2 * DAY)
    good = old.issue_cert("localhost")
    own, between = (blob.bytes() for blob in good.cert_chain_pems)
    assert Certificates.read(written(tmp_path, good, own + between))
    # Any certificate in the chain counts, whoever it is of.
    assert "expired on" in refusal(written(tmp_path, good, own + ended.cert_chain_pems[0].bytes()))
    # A root in the chain is signed by itself; clients have their own.
    assert Certificates.read(written(tmp_path, good, own + between + CA.cert_pem.bytes()))


def test_the_wrong_order_and_another_key_are_refused_with_the_right_order(tmp_path: Path) -> None:
    good = trustme.CA(parent_cert=CA).issue_cert("localhost")
    own, between = (blob.bytes() for blob in good.cert_chain_pems)
    assert "the server's own certificate comes first" in refusal(written(tmp_path, good, between + own))
    other = CA.issue_cert("localhost")
    assert "are not a certificate and its key" in refusal(
        written(tmp_path, good, other.cert_chain_pems[0].bytes())
    )


def test_authorities_are_refused_when_none_of_them_is_good(tmp_path: Path) -> None:
    good = leaf(-DAY, 90 * DAY)
    ended = leaf(-9 * DAY, -2 * DAY).cert_chain_pems[0].bytes()
    unused = written(tmp_path, good, ca=ended)
    assert "expired on" in Certificates.read(unused).validity[1].warning(time.time())
    fault = refusal(unused.model_copy(update={"require_client_cert": True}))
    assert fault.startswith(f"server.tls.ca_cert_path: {tmp_path / 'ca.pem'}: ")
    read = Certificates.read(written(tmp_path, good, ca=ended + CA.cert_pem.bytes()))
    assert all(not one.warning(time.time()) for one in read.validity)


@pytest.mark.parametrize(("days", "warned"), [(15, False), (13, True)])
def test_from_fourteen_days_before_its_end_it_is_said(tmp_path: Path, days: int, warned: bool) -> None:
    settings = written(tmp_path, leaf(-DAY, days * DAY))
    own, authority = Certificates.read(settings).validity
    assert (own.setting, authority.setting) == ("server.tls.cert_path", "server.tls.ca_cert_path")
    assert ("expires on" in own.warning(time.time())) == warned
    assert own.remaining_s(time.time()) == pytest.approx(
        (NOW + days * DAY).timestamp() - time.time(), abs=600
    )
    severity = Severity.NOTE if warned else Severity.OK
    assert [finding.severity for finding in check_certificates(settings)] == [severity, Severity.OK]


def test_the_log_says_it_once_a_day_and_again_when_it_has_ended(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    now_s = 1_000_000.0
    monkeypatch.setattr(time, "time", lambda: now_s)
    ends_s = now_s + 2 * 86_400
    one = Validity("server.tls.cert_path", Path("cert.pem"), "CN=localhost", 0.0, ends_s)
    watch = ExpiryWatch(lambda: (one,))

    def levels(passed_s: float) -> list[str]:
        nonlocal now_s
        now_s += passed_s
        caplog.clear()
        watch.look()
        watch.look()
        return [record.levelname for record in caplog.records]

    assert levels(0) == ["WARNING"]
    assert levels(3600) == []
    assert levels(86_400) == ["WARNING"]
    assert levels(86_400) == ["ERROR"]
    assert levels(60) == []
    one = replace(one, not_after_s=now_s + 90 * 86_400)
    assert levels(0) == []
