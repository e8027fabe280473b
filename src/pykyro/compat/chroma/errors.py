"""What programs import from chromadb.errors."""

from pykyro.integrations.chroma.errors import (
    AuthorizationError,
    ChromaError,
    DuplicateIDError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    NotSupported,
)

__all__ = [
    "AuthorizationError",
    "ChromaError",
    "DuplicateIDError",
    "InternalError",
    "InvalidArgumentError",
    "NotFoundError",
    "NotSupported",
]
