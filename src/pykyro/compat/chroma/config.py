"""What programs import from chromadb.config."""

from pykyro.integrations.chroma.settings import DATABASE, TENANT, Settings

DEFAULT_TENANT = TENANT
DEFAULT_DATABASE = DATABASE

__all__ = ["DEFAULT_DATABASE", "DEFAULT_TENANT", "Settings"]
