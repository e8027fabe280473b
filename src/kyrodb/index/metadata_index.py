"""Which rows match a filter: the index of a growing tier, that of an immutable segment, and sets of rows."""

from kyrodb.index.bitmaps import rows_of, to_bits
from kyrodb.index.frozen_index import FrozenMetadataIndex
from kyrodb.index.mutable_index import MutableMetadataIndex
from kyrodb.index.sections import build_sections

__all__ = ["FrozenMetadataIndex", "MutableMetadataIndex", "build_sections", "rows_of", "to_bits"]
