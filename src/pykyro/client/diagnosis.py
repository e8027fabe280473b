"""Finds out why a server cannot be reached, and names the likely mistake and its correction.

gRPC says what its socket saw: "Socket closed" to a client without TLS, "WRONG_VERSION_NUMBER" to one with it. Where
its text is not enough, one or two connections probe the port, once a call has failed and never before. A mistake that
waiting cannot correct (`lasting`) ends the call at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

import grpc

from pykyro.client.channel import Connection
from pykyro.client.protocol_probe import Seen, certificate_names, probe_port
from pykyro.client.retry import Attempts
from pykyro.client.status import Failure
from pykyro.client.target import GrpcTarget, proxy_of
from pykyro.client.tls import Tls
from pykyro.model.errors import DeadlineExceeded, FailedPrecondition, KyroError, Unavailable

PROBE_S: Final = 1.0
"""Longest time of a probe, within the caller's time."""
PROBE_LATE_S: Final = 0.25
"""The same when that time is over."""
_UNSENT: Final = re.compile(r"failed to connect to all addresses|errors resolving |DNS resolution failed")
_WRONG_NAME: Final = re.compile("Hostname Verification|peer certificate|Peer name")
_REFUSED: Final = "Connection refused"
"""For a name with several addresses gRPC reports only the last; another may have failed in another way."""
_ENDED_HANDSHAKE: Final = re.compile("Handshake read failed|Tls handshake failed")
_DEADLINE: Final = "Deadline Exceeded"
"""gRPC's own text; a server names the deadline that passed."""


@dataclass(frozen=True, slots=True)
class Cause:
    """The cause of a failure, and whether waiting can help."""

    text: str
    lasting: bool


def is_unsent(details: str) -> bool:
    """Whether a call that ended with this text never came to a server."""
    return _UNSENT.match(details) is not None


class Diagnosis:
    """Finds the causes of failed calls, for one client. `reached` is set by the client once a server has answered."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.reached = False

    def should_probe(self, failure: Failure) -> bool:
        """Whether `probe`, which blocks for up to PROBE_S, may find out more than gRPC's text tells."""
        code, details = failure.code, failure.details
        if proxy_of(self._connection.target):
            return False
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return not self.reached and details == _DEADLINE
        return code is grpc.StatusCode.UNAVAILABLE and is_unsent(details) and self._by_text(details) is None

    def probe(self, failure: Failure, remaining_s: float) -> Cause | None:
        """Probe the port; None when it might as well be a server that is well.

        Takes half of the time that remains at most, and a moment when none does.
        """
        details, time_s = failure.details, min(PROBE_S, max(PROBE_LATE_S, remaining_s / 2))
        target, tls = self._connection.target, self._connection.tls
        if tls is not None and _WRONG_NAME.search(details):
            return _wrong_name(target, tls, certificate_names(target, tls, time_s))
        seen = probe_port(target, tls, time_s)
        if seen is None and _REFUSED in details:
            return _nobody(target)
        if seen is Seen.TLS and tls is not None and _ENDED_HANDSHAKE.search(details):
            return _ended_handshake(target)
        return _finding(seen, target, tls)

    def wait_after(self, failure: Failure, attempts: Attempts, found: Cause | None) -> float:
        """Seconds to wait before the next attempt. Raises what the caller is told when there is none.

        `found` is the cause that a probe found at this failure, or at an earlier one.
        """
        if failure.code not in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED):
            self.reached = True
        error, lasting = self._explained(failure.error, failure.code, failure.details, found)
        if lasting:
            raise error
        return attempts.wait_after(error, unsent=is_unsent(failure.details))

    def _explained(
        self, error: KyroError, code: grpc.StatusCode, details: str, found: Cause | None
    ) -> tuple[KyroError, bool]:
        """A clearer error, and whether trying again is of no use. `found` is the cause that a probe found."""
        target = self._connection.target
        if code is grpc.StatusCode.UNIMPLEMENTED:
            text = (
                f"{target.text} speaks gRPC but does not know this call ({details}): it is not a KyroDB server, "
                f"or it is older than this client"
            )
            return _replaced(error, FailedPrecondition(text)), True
        if code is grpc.StatusCode.DEADLINE_EXCEEDED and details == _DEADLINE:
            text = f"{target.text} did not answer within timeout_s = {self._connection.timeout_s:g}"
            return _replaced(
                error, DeadlineExceeded(text if found is None else f"{text}: {found.text}")
            ), False
        if code is not grpc.StatusCode.UNAVAILABLE or not is_unsent(details):
            return error, False
        finding = self._by_text(details) or found
        if finding is None and self._connection.tls is not None and _WRONG_NAME.search(details):
            finding = _wrong_name(target, self._connection.tls, ())
        words = [] if finding is None else [finding.text]
        if proxy := proxy_of(target):
            words.append(
                f"gRPC connects through the proxy that the variable {proxy} names: add the host to no_proxy to "
                f"connect directly"
            )
        if not words:
            return error, False
        text = f"{'; '.join(words)} (gRPC: {details})"
        return _replaced(error, Unavailable(text)), finding is not None and finding.lasting

    def _by_text(self, details: str) -> Cause | None:
        target, tls = self._connection.target, self._connection.tls
        if re.search(r"certificate has expired|certificate is not yet valid", details):
            return Cause(
                f"the certificate of {target.text} is not valid today: renew it, or correct the clock of this "
                f"machine",
                lasting=True,
            )
        if "CERTIFICATE_VERIFY_FAILED" in details:
            trusted = "that tls.ca names" if tls is not None and tls.ca else "that gRPC trusts by default"
            return Cause(
                f"the certificate of {target.text} is not signed by an authority {trusted}: give the authority "
                f"that signed it, "
                f"tls=pykyro.Tls(ca=…)",
                lasting=True,
            )
        if "Failed to create security handshaker" in details:
            return Cause(
                "tls.ca, tls.cert or tls.key holds no usable PEM, or the key does not belong to the certificate",
                lasting=True,
            )
        if _REFUSED in details and not target.is_name:
            return _nobody(target)
        if re.search(r"errors resolving|DNS resolution failed|Domain name not found", details):
            return Cause(f"the name in {target.text} cannot be resolved: check its spelling", lasting=False)
        if target.path and "No such file or directory" in details:
            return Cause(
                f"there is no socket {target.path}: is the server started, and is this its path?", False
            )
        return None


def _finding(seen: Seen | None, target: GrpcTarget, tls: Tls | None) -> Cause | None:
    place = target.text
    match seen:
        case Seen.TLS if tls is None:
            text = f"{place} uses TLS, but this client does not: give tls=True or tls=pykyro.Tls(ca=…)"
        case Seen.HTTP2 if tls is not None:
            text = f"{place} does not use TLS, but this client does: leave tls out, or set server.tls.enabled there"
        case Seen.HTTP1 | Seen.HTTP1_TLS:
            spoken = "HTTP/1" if seen is Seen.HTTP1 else "HTTPS"
            text = (
                f"{place} speaks {spoken}, not gRPC: is it the HTTP port of a server? Its gRPC port is "
                f"server.port, by default the HTTP port minus 1000"
            )
        case Seen.WANTS_CERTIFICATE if tls is not None and tls.cert is not None:
            text = f"{place} does not accept the certificate of tls.cert: is it signed by the authority named there?"
        case Seen.WANTS_CERTIFICATE:
            text = f"{place} asks clients for a certificate: give tls=pykyro.Tls(ca=…, cert=…, key=…)"
        case Seen.OTHER:
            text = f"{place} speaks neither gRPC nor TLS: another program listens there"
        case Seen.SILENT:
            text = f"{place} accepts connections but sends nothing: does another program listen there?"
            return Cause(text, lasting=False)
        case _:
            return None
    return Cause(text, lasting=True)


def _nobody(target: GrpcTarget) -> Cause:
    return Cause(
        f"no server listens at {target.text}: is the server started, and is this the port of its gRPC (server.port)?",
        lasting=False,
    )


def _ended_handshake(target: GrpcTarget) -> Cause:
    return Cause(
        f"{target.text} speaks TLS and ended the handshake: it does not support TLS 1.2 or 1.3, or gRPC does not "
        f"support the key of its certificate (gRPC supports RSA, P-256 and P-384)",
        lasting=False,
    )


def _wrong_name(target: GrpcTarget, tls: Tls, names: tuple[str, ...]) -> Cause:
    asked = tls.server_name or (target.addresses[0][0] if target.addresses else target.text)
    held = f" but for {', '.join(names)}" if names else ""
    return Cause(
        f"the certificate of {target.text} is not for {asked!r}{held}: use a name that it holds as the target, or "
        f"give tls=pykyro.Tls(…, server_name=…)",
        lasting=True,
    )


def _replaced(error: KyroError, by: KyroError) -> KyroError:
    by.__cause__ = error.__cause__
    return by
