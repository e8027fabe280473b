"""Keys of the server's network side (server, auth, rate_limit, timeouts), and which addresses are loopback."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Annotated, Literal

from pykyro.config.settings.declare import LOWERCASE, Host, Integer, NonBlankPath, Section, key
from pykyro.model import limits


class TlsSettings(Section):
    """TLS of the gRPC port, and of the HTTP port when `http` says so."""

    enabled: bool = key(False, "Serve gRPC over TLS; needs cert_path and key_path.")
    http: Annotated[Literal["off", "tls", "mtls"], LOWERCASE] = key(
        "off",
        "Serve the HTTP endpoints over TLS with the same certificate; mtls also refuses their clients "
        "without a certificate signed by ca_cert_path.",
    )
    cert_path: NonBlankPath | None = key(
        None, "Certificate chain of the server, PEM.", example="tls/server.pem", reloads=True
    )
    key_path: NonBlankPath | None = key(
        None, "Private key of the certificate, PEM.", example="tls/server.key", reloads=True
    )
    ca_cert_path: NonBlankPath | None = key(
        None,
        "Authorities that client certificates are checked against, PEM.",
        example="tls/ca.pem",
        reloads=True,
    )
    require_client_cert: bool = key(
        False, "Refuse gRPC clients without a certificate signed by ca_cert_path (mutual TLS)."
    )


class ServerSettings(Section):
    """Where the server listens, and how it stops."""

    host: Host = key(
        "127.0.0.1",
        "Address the gRPC server listens on, and the HTTP endpoints unless http_host is set: 0.0.0.0 is every "
        "IPv4 address, :: is every IPv4 and IPv6 address; of a name the first address is used.",
    )
    port: Integer = key(50051, "Port of the gRPC server.", ge=1, le=limits.PORT_MAX)
    http_port: Integer | None = key(
        None,
        "Port of the HTTP endpoints /health, /ready, /metrics, /slo and /usage; null is port + 1000, 0 is any "
        "free port.",
        ge=0,
        le=limits.PORT_MAX,
        example=51051,
    )
    http_host: Host | None = key(
        None, "Address the HTTP endpoints listen on; null is server.host.", example="127.0.0.1"
    )
    observability_auth: Annotated[Literal["disabled", "metrics_and_slo", "all"], LOWERCASE] = key(
        "disabled",
        "Which HTTP endpoints ask for an API key: none of them, /metrics and /slo, or all. /usage always "
        "does when auth is enabled.",
    )
    transport: Annotated[Literal["auto", "h2corn", "grpcio", "native"], LOWERCASE] = key(
        "auto",
        "gRPC implementation. auto is grpcio. h2corn serves many callers with less of the processor and bounds what "
        "headers can take; native, the name of an earlier one, is h2corn.",
    )
    max_connections: Integer = key(
        10_000,
        "In-flight calls that one connection may have.",
        unit="calls",
        ge=1,
        le=limits.CONNECTIONS_MAX,
    )
    connection_timeout_secs: Integer = key(
        300, "Idle time after which a connection is probed; 0: never.", unit="s", ge=0, le=limits.DURATION_MAX
    )
    shutdown_timeout_secs: Integer = key(
        30,
        "Time that in-flight calls have to finish when the server stops.",
        unit="s",
        ge=0,
        le=limits.DURATION_MAX,
    )
    ready_requires_writes: bool = key(
        False, "Answer 503 on /ready while writes are refused; by default a server that only reads is ready."
    )
    dashboard: bool = key(
        False,
        "Serve a dashboard for browsers at / of the HTTP port, and a console at /console/. observability_auth "
        "applies to the dashboard as to /metrics; the console holds no data and asks REST with the key typed in.",
    )
    rest: bool = key(
        True,
        "Serve REST below /v1/ of the HTTP port, with the keys and limits of the gRPC port. It is not served where "
        "the HTTP port is guarded less than the gRPC port: see docs/rest.md.",
    )
    tls: TlsSettings = TlsSettings()

    @property
    def observability_host(self) -> str:
        """Address of the HTTP endpoints."""
        return self.http_host if self.http_host is not None else self.host

    @property
    def observability_port(self) -> int:
        """Port of the HTTP endpoints; 0 is any free one."""
        return self.http_port if self.http_port is not None else self.port + limits.HTTP_PORT_OFFSET

    @property
    def grpc_is_loopback(self) -> bool:
        """Whether only this machine can reach the gRPC port."""
        return is_loopback(self.host)

    @property
    def http_is_loopback(self) -> bool:
        """Whether only this machine can reach the HTTP endpoints."""
        return is_loopback(self.observability_host)

    @property
    def grpc_target(self) -> str:
        """`host:port` of the gRPC server, an IPv6 address in brackets."""
        bare = self.host.strip("[]")
        return f"[{bare}]:{self.port}" if ":" in bare else f"{bare}:{self.port}"


class AuthSettings(Section):
    """Authentication of callers."""

    enabled: bool = key(False, "Require an API key for every call; needs api_keys_file.")
    api_keys_file: NonBlankPath | None = key(
        None, "YAML file of the API keys and their tenants.", example="data/api_keys.yaml", reloads=True
    )
    admin_rpcs_require_admin_key: bool = key(
        True, "With auth enabled, FlushHotTier, Compact and CreateSnapshot need a key with is_admin: true."
    )


class RateLimitSettings(Section):
    """How fast callers may be. A bucket never saves up more than one second of its rate."""

    enabled: bool = key(False, "Limit the rate of calls, with or without auth.", reloads=True)
    max_qps_per_connection: Integer = key(
        1000,
        "Rate limit of a tenant whose keys state no rate, or of a client address when auth is off.",
        unit="requests/s",
        ge=0,
        le=limits.COUNT_MAX,
        reloads=True,
    )
    max_qps_global: Integer = key(
        100_000,
        "Rate limit of all callers together.",
        unit="requests/s",
        ge=0,
        le=limits.COUNT_MAX,
        reloads=True,
    )
    burst_capacity: Integer = key(
        10_000,
        "Largest burst of requests, when it is less than one second of the rate.",
        unit="requests",
        ge=0,
        le=limits.COUNT_MAX,
        reloads=True,
    )


class TimeoutSettings(Section):
    """How long each tier may take, and how many searches run at once."""

    cache_ms: Integer = key(
        10,
        "Time a search may spend in the query cache; a later answer from there is dropped, and the tiers are "
        "searched.",
        unit="ms",
        ge=1,
        le=limits.DURATION_MAX,
    )
    hot_tier_ms: Integer = key(
        50,
        "Time a search may spend in the hot tier; the answer then leaves out the rest of the tier and is marked "
        "partial.",
        unit="ms",
        ge=1,
        le=limits.DURATION_MAX,
    )
    cold_tier_ms: Integer = key(
        1000,
        "Time a search may spend in the cold tier; the answer then leaves out the segments that the search has "
        "not started, and is marked partial.",
        unit="ms",
        ge=1,
        le=limits.DURATION_MAX,
    )
    max_concurrent_queries: Integer = key(
        1000,
        "Searches admitted at once; further ones are refused with RESOURCE_EXHAUSTED.",
        unit="searches",
        ge=1,
        le=limits.COUNT_MAX,
    )


def is_loopback(host: str) -> bool:
    """Whether binding to `host` is reachable from this machine only.

    True for localhost, 127.0.0.0/8 and ::1, also in brackets, with a zone id or mapped into IPv6.
    A name other than localhost is not loopback, whatever it resolves to today.
    """
    name = host.strip().lower()
    if name.startswith("[") and name.endswith("]"):
        name = name[1:-1]
    name = name.partition("%")[0]
    if name == "localhost":
        return True
    try:
        address = ip_address(name)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
