"""Where older programs find models and errors."""

from pykyro.compat.qdrant import models
from pykyro.compat.qdrant.http import exceptions

__all__ = ["exceptions", "models"]
