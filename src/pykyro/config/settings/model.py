"""The whole configuration as one frozen value."""

from __future__ import annotations

from pykyro.config.settings.archive import ArchiveSettings
from pykyro.config.settings.cache import CacheSettings
from pykyro.config.settings.declare import Section
from pykyro.config.settings.memory_limit import MemorySettings
from pykyro.config.settings.observability import (
    EnvironmentSettings,
    LoggingSettings,
    SloSettings,
    TracingSettings,
)
from pykyro.config.settings.server import AuthSettings, RateLimitSettings, ServerSettings, TimeoutSettings
from pykyro.config.settings.storage import (
    BackupSettings,
    ColdTierSettings,
    CollectionsSettings,
    HnswSettings,
    MetadataSettings,
    PersistenceSettings,
    SearchSettings,
)


class Settings(Section):
    """Every key. Constructing it checks each key alone; `load_settings` also checks them together."""

    server: ServerSettings = ServerSettings()
    memory: MemorySettings = MemorySettings()
    cache: CacheSettings = CacheSettings()
    hnsw: HnswSettings = HnswSettings()
    collections: CollectionsSettings = CollectionsSettings()
    cold_tier: ColdTierSettings = ColdTierSettings()
    metadata: MetadataSettings = MetadataSettings()
    search: SearchSettings = SearchSettings()
    persistence: PersistenceSettings = PersistenceSettings()
    backup: BackupSettings = BackupSettings()
    archive: ArchiveSettings = ArchiveSettings()
    slo: SloSettings = SloSettings()
    rate_limit: RateLimitSettings = RateLimitSettings()
    logging: LoggingSettings = LoggingSettings()
    tracing: TracingSettings = TracingSettings()
    auth: AuthSettings = AuthSettings()
    timeouts: TimeoutSettings = TimeoutSettings()
    environment: EnvironmentSettings = EnvironmentSettings()
