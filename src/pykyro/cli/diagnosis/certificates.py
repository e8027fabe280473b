"""The certificates of TLS: whether a server would take them, and for how long they are good."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Final

from pykyro.cli.diagnosis.finding import Finding, note, ok, wrong
from pykyro.config.settings.server import TlsSettings
from pykyro.model.errors import ConfigError

TOPIC: Final = "TLS"
_DAY_S: Final = 86_400.0


def check_certificates(tls: TlsSettings) -> Iterator[Finding]:
    """Read the files the settings name as the server does at its start."""
    # Brings gRPC with it, which nothing else here needs.
    from pykyro.transport.tls import Certificates

    try:
        certificates = Certificates.read(tls)
    except ConfigError as error:
        yield from (
            wrong(TOPIC, fault, "correct the file; a running server keeps the old certificate")
            for fault in error.faults
        )
        return
    now_s = time.time()
    for one in certificates.validity:
        if warning := one.warning(now_s):
            yield note(TOPIC, warning, "put a new certificate there and send SIGHUP")
        else:
            days = int(one.remaining_s(now_s) // _DAY_S)
            yield ok(TOPIC, f"{one.setting}: {one.path} is valid for {days} more days")
