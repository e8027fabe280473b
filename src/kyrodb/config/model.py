"""The whole configuration as one frozen value."""

from __future__ import annotations

from kyrodb.config.caching import CacheSettings
from kyrodb.config.declare import Section
from kyrodb.config.observing import EnvironmentSettings, LoggingSettings, SloSettings, TracingSettings
from kyrodb.config.serving import AuthSettings, RateLimitSettings, ServerSettings, TimeoutSettings
from kyrodb.config.storing import BackupSettings, HnswSettings, PersistenceSettings, SearchSettings


class Settings(Section):
    """Every key. Constructing it checks each key alone; `load_settings` also checks them together."""

    server: ServerSettings = ServerSettings()
    cache: CacheSettings = CacheSettings()
    hnsw: HnswSettings = HnswSettings()
    search: SearchSettings = SearchSettings()
    persistence: PersistenceSettings = PersistenceSettings()
    backup: BackupSettings = BackupSettings()
    slo: SloSettings = SloSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()
    auth: AuthSettings = AuthSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    environment: EnvironmentSettings = EnvironmentSettings()

    @property
    def predictor_capacity(self) -> int:
        """Documents the predictor ranks."""
        return min(self.cache.capacity * self.cache.predictor_capacity_multiplier, self.hnsw.documents_max)
