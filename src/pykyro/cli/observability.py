"""The HTTP port of a server as `kyrodb top` and `kyrodb doctor` read it: /health, /slo, and /metrics as numbers."""

from __future__ import annotations

import http.client
import json
import math
import re
import ssl
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pykyro.config import Settings
from pykyro.model.errors import ConfigError, Unavailable
from pykyro.telemetry.catalogue.declaration import Instrument

TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where the port is, the API key to send, and certificates to trust besides the system's."""

    url: str
    api_key: str = ""
    trusted: Path | None = None

    def get(self, path: str) -> tuple[int, str]:
        """Status and body. Raises Unavailable when no server answers."""
        request = urllib.request.Request(self.url + path)  # noqa: S310
        if self.api_key:
            request.add_header("x-api-key", self.api_key)
        try:
            with self._opener().open(request, timeout=TIMEOUT_S) as response:
                return response.status, response.read().decode("utf-8", "replace")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode("utf-8", "replace")
        except (OSError, ValueError, http.client.HTTPException) as error:
            raise Unavailable(f"{self.url}{path}: {self._reason(error)}") from error

    def get_json(self, path: str) -> tuple[int, Any]:
        """Status and parsed body, None when it is no JSON. Raises Unavailable."""
        status, body = self.get(path)
        try:
            return status, json.loads(body)
        except ValueError:
            return status, None

    def _reason(self, error: Exception) -> str:
        """The text of the error, and its likely cause."""
        reason = getattr(error, "reason", error)
        text = str(reason) or type(reason).__name__
        if isinstance(reason, ssl.SSLCertVerificationError):
            return f"{text}: the certificate is out of date, or no authority that is trusted here signed it"
        if isinstance(reason, ssl.SSLError) and "CERTIFICATE_REQUIRED" in text:
            return f"{text}: the port asks for a client certificate (server.tls.http = mtls)"
        if isinstance(reason, ssl.SSLError):
            return f"{text}: the port does not use TLS (server.tls.http): write http://"
        if isinstance(reason, (http.client.HTTPException, ConnectionResetError)):
            return (
                f"there was no HTTP answer ({type(reason).__name__}): is this the gRPC port (the HTTP port is "
                f"that plus 1000 by default), or does it speak TLS (server.tls.http): https://?"
            )
        if isinstance(reason, ConnectionRefusedError):
            return (
                f"{text}: no server listens there; is the server started, and is this its server.http_port?"
            )
        return text

    def _opener(self) -> urllib.request.OpenerDirector:
        # A proxy of the environment is for the world outside, not for a server one looks after.
        handlers: list[urllib.request.BaseHandler] = [urllib.request.ProxyHandler({})]
        if self.url.startswith("https:"):
            context = ssl.create_default_context(cafile=str(self.trusted) if self.trusted else None)
            # The certificate is for the name clients use, which need not be the address used here.
            context.check_hostname = False
            handlers.append(urllib.request.HTTPSHandler(context=context))
        return urllib.request.build_opener(*handlers)


def checked_url(url: str) -> str:
    """`url` without a slash at its end. Raises ConfigError unless it is an http or https address."""
    if not url.startswith(("http://", "https://")) or len(url.split("//", 1)[1]) == 0:
        raise ConfigError(f"--url {url!r}: must begin with http:// or https://")
    return url.rstrip("/")


def endpoint_of(settings: Settings, api_key: str = "") -> Endpoint:
    """The port as these settings have it, on this machine."""
    server = settings.server
    host = server.observability_host.strip("[]")
    if host in ("0.0.0.0", "::"):  # noqa: S104
        host = "127.0.0.1" if host == "0.0.0.0" else "::1"  # noqa: S104
    shown = f"[{host}]" if ":" in host else host
    scheme = "http" if server.tls.http == "off" else "https"
    trusted = server.tls.cert_path if scheme == "https" else None
    return Endpoint(f"{scheme}://{shown}:{server.observability_port}", api_key, trusted)


@dataclass(frozen=True, slots=True)
class Reading:
    """What a server said at one moment: /metrics, /health and /slo."""

    url: str
    at_s: float
    samples: Samples
    health: Mapping[str, Any]
    slo: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Interval:
    """From `before` to `now`."""

    before: Reading
    now: Reading

    @property
    def seconds(self) -> float:
        return max(self.now.at_s - self.before.at_s, 1e-9)

    def rate(self, counter: Instrument, **labels: str) -> float:
        """What a counter gained a second."""
        before, now = self.before.samples.get(counter, **labels), self.now.samples.get(counter, **labels)
        return _gained(before, now) / self.seconds

    def rates(self, counter: Instrument, label: str) -> dict[str, float]:
        """`rate` by the values of a label, summed over the others; of a histogram, how often it observed."""
        before = self.before.samples.labelled(counter, label)
        now = self.now.samples.labelled(counter, label)
        return {value: _gained(before.get(value, 0.0), count) / self.seconds for value, count in now.items()}

    def quantile_s(self, histogram: Instrument, share: float, **labels: str) -> float:
        """Upper bound of the bucket in which that share of a histogram's new samples lies; NaN without any."""
        before, now = self.before.samples, self.now.samples
        counts = sorted(
            (
                float(bound),
                _gained(before.bucket(histogram, bound, **labels), now.bucket(histogram, bound, **labels)),
            )
            for bound in now.bounds(histogram, **labels)
        )
        total = counts[-1][1] if counts else 0.0
        return next((bound for bound, count in counts if total and count >= share * total), math.nan)


def _gained(before: float, now: float) -> float:
    """What a counter gained. A server that was restarted starts over, so never less than nothing."""
    return max(0.0, now - before)


_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{.*\})? (\S+)")
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')


@dataclass(slots=True)
class Samples:
    """One scrape. A histogram is read as how many durations it holds."""

    values: dict[tuple[str, tuple[tuple[str, str], ...]], float] = field(default_factory=dict)

    def get(self, metric: Instrument, **labels: str) -> float:
        """The value of one sample, 0 when it is not there."""
        return self.values.get((_sample_name(metric), tuple(sorted(labels.items()))), 0.0)

    def has(self, metric: Instrument) -> bool:
        return any(known == _sample_name(metric) for known, _ in self.values)

    def bucket(self, metric: Instrument, bound: str, **labels: str) -> float:
        """How many durations of a histogram are at most `bound` seconds, 0 when it is not there."""
        return self.values.get((f"{metric.name}_bucket", tuple(sorted({**labels, "le": bound}.items()))), 0.0)

    def bounds(self, metric: Instrument, **labels: str) -> list[str]:
        """The bounds of a histogram's buckets, ascending, "+Inf" last; none when it is not there."""
        wanted = {*labels.items()}
        return [
            dict(known)["le"]
            for name, known in self.values
            if name == f"{metric.name}_bucket" and {pair for pair in known if pair[0] != "le"} == wanted
        ]

    def labelled(self, metric: Instrument, label: str) -> dict[str, float]:
        """Values of a metric by one of its labels, summed over the others."""
        found: dict[str, float] = {}
        for (known, labels), value in self.values.items():
            if known == _sample_name(metric):
                key = dict(labels).get(label, "")
                found[key] = found.get(key, 0.0) + value
        return found

    def label(self, metric: Instrument, label: str) -> str:
        """A label's value at the only sample of a metric, "" when there is none."""
        return next(
            (dict(labels).get(label, "") for known, labels in self.values if known == metric.name), ""
        )


def _sample_name(metric: Instrument) -> str:
    return f"{metric.name}_count" if metric.kind == "histogram" else metric.name


def parse_exposition(text: str) -> Samples:
    """Read the text format; lines that are no samples are passed over."""
    samples = Samples()
    for line in text.splitlines():
        match = _SAMPLE.fullmatch(line)
        if match is None or line.startswith("#"):
            continue
        labels = tuple(sorted(_LABEL.findall(match[2] or "")))
        samples.values[match[1], labels] = float(match[3])
    return samples
