"""How fast callers may be: token buckets.

A bucket fills at its rate and holds at most one second of it; a request takes one token. A refusal says when
the next token will be there. Source: the token bucket of J. Turner, "New directions in communications", IEEE
Communications Magazine 24(10), 1986.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from pykyro.config.settings.server import RateLimitSettings
from pykyro.model.errors import ResourceExhausted
from pykyro.model.limits import RATE_PEERS_MAX

REFUSAL: Final = "rate limit exceeded"


class TokenBucket:
    """Starts full. `capacity` is at least one token, or nothing could ever be taken."""

    __slots__ = ("_capacity", "_rate", "_tokens", "_updated_s")

    def __init__(self, rate: int, burst_max: int, now_s: float) -> None:
        """`rate` in tokens a second, at least 1."""
        self._rate = float(rate)
        self._capacity = _capacity(rate, burst_max)
        self._tokens = self._capacity
        self._updated_s = now_s

    def take(self, now_s: float) -> float:
        """Take a token: 0.0 when there was one, else the seconds until there is."""
        tokens = self._tokens + (now_s - self._updated_s) * self._rate
        if tokens > self._capacity:
            tokens = self._capacity
        self._updated_s = now_s
        if tokens >= 1.0:
            self._tokens = tokens - 1.0
            return 0.0
        self._tokens = tokens
        return (1.0 - tokens) / self._rate

    def give_back(self) -> None:
        """Return the token that was taken last: the call it was for was not made."""
        self._tokens += 1.0

    def change(self, rate: int, burst_max: int, now_s: float) -> None:
        """Go on at another rate with what is in the bucket, as far as it fits: a reload gives no caller a burst."""
        tokens = self._tokens + (now_s - self._updated_s) * self._rate
        self._rate = float(rate)
        self._capacity = _capacity(rate, burst_max)
        self._tokens = min(tokens, self._capacity)
        self._updated_s = now_s


def _capacity(rate: int, burst_max: int) -> float:
    return float(max(1, min(rate, burst_max)))


class RateLimiter:
    """All buckets: one per tenant, one per peer address, one for all together. Used by one thread.

    A tenant whose key states a rate is held to it always; the other limits exist when they are enabled.
    """

    def __init__(self, settings: RateLimitSettings, monotonic_s: Callable[[], float]) -> None:
        self._monotonic_s = monotonic_s
        self._tenants: dict[str, TokenBucket] = {}
        self._peers: OrderedDict[str, TokenBucket] = OrderedDict()
        self._everybody: TokenBucket | None = None
        self._settings = settings
        self.change(settings)

    def change(self, settings: RateLimitSettings) -> None:
        """Take other settings. `tenant` must then be asked again for the bucket of each tenant."""
        now_s = self._monotonic_s()
        self._settings = settings
        self.enabled = settings.enabled
        """Whether callers are limited whose key states no rate."""
        self._peers.clear()
        if not settings.enabled:
            self._everybody = None
        elif self._everybody is None:
            self._everybody = TokenBucket(settings.max_qps_global, settings.burst_capacity, now_s)
        else:
            self._everybody.change(settings.max_qps_global, settings.burst_capacity, now_s)

    def tenant(self, tenant_id: str, max_qps: int) -> TokenBucket | None:
        """The bucket of a tenant whose key states `max_qps` (0 = the server's default); None is unlimited."""
        settings = self._settings
        rate = max_qps or (settings.max_qps_per_connection if settings.enabled else 0)
        if not rate:
            self._tenants.pop(tenant_id, None)
            return None
        now_s = self._monotonic_s()
        bucket = self._tenants.get(tenant_id)
        if bucket is None:
            bucket = self._tenants[tenant_id] = TokenBucket(rate, settings.burst_capacity, now_s)
        else:
            bucket.change(rate, settings.burst_capacity, now_s)
        return bucket

    def peer(self, address: str) -> TokenBucket | None:
        """The bucket of a peer address; None is unlimited. Those not heard of for longest are forgotten first."""
        if not self._settings.enabled:
            return None
        bucket = self._peers.get(address)
        if bucket is None:
            settings = self._settings
            rate, burst = settings.max_qps_per_connection, settings.burst_capacity
            bucket = self._peers[address] = TokenBucket(rate, burst, self._monotonic_s())
            if len(self._peers) > RATE_PEERS_MAX:
                self._peers.popitem(last=False)
        else:
            self._peers.move_to_end(address)
        return bucket

    def take(self, bucket: TokenBucket | None) -> None:
        """Take a token from `bucket` and one from the common bucket. Raises ResourceExhausted and takes none."""
        now_s = self._monotonic_s()
        wait_s = bucket.take(now_s) if bucket is not None else 0.0
        if not wait_s and self._everybody is not None:
            wait_s = self._everybody.take(now_s)
            if wait_s and bucket is not None:
                bucket.give_back()
        if wait_s:
            raise ResourceExhausted(REFUSAL, retry_after_s=wait_s)
