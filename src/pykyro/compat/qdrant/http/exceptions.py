"""The errors that programs catch."""

from pykyro.integrations.qdrant.errors import ApiException, NotSupported, UnexpectedResponse

__all__ = ["ApiException", "NotSupported", "UnexpectedResponse"]
