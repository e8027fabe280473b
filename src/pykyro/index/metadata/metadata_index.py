"""Which rows match a filter: the index of a growing tier, that of an immutable segment, and sets of rows."""

from pykyro.index.metadata.bitmaps import rows_of, to_bits
from pykyro.index.metadata.frozen_index import FrozenMetadataIndex
from pykyro.index.metadata.mutable_index import MutableMetadataIndex
from pykyro.index.metadata.sections import build_sections

__all__ = ["FrozenMetadataIndex", "MutableMetadataIndex", "build_sections", "rows_of", "to_bits"]
