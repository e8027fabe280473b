"""The sections of a segment's files, by name. reader.py reads them, writer.py writes them, and nothing else does.

.rows    ids                 u64   doc_id of each row, as its client knows it
         owners              u64   its owner (types.Key); the section is absent when no row belongs to a tenant
         sorted_ids          u64   the ids again, ascending; rows of one id by ascending owner
         sorted_rows         u32   the row of each sorted id
         vectors             f32   the client's own values, shape (rows, dimension)
         norms               f64   the length of each vector
         positions           u64   the position of the write that made each row; absent in files of earlier versions
         public_offsets      u64   rows + 1: where each row's entry starts in `public`
         public              u8    metadata for clients, in the form of metadata_wire
         reserved_offsets    u64   the same for reserved metadata
         reserved            u8
         index:*                   the metadata index, see index/metadata/sections.py
         words:*                   the index of words, see index/words/frozen_words.py; absent without text options
.graph                             the HNSW graph in its library's own form; no section file
.shape                             see index/vector/shape.py
.dead    dead_rows           u32   rows deleted up to a checkpoint, ascending
"""

from __future__ import annotations

from typing import Final

IDS: Final = "ids"
OWNERS: Final = "owners"
SORTED_IDS: Final = "sorted_ids"
SORTED_ROWS: Final = "sorted_rows"
VECTORS: Final = "vectors"
NORMS: Final = "norms"
POSITIONS: Final = "positions"
PUBLIC: Final = "public"
PUBLIC_OFFSETS: Final = "public_offsets"
RESERVED: Final = "reserved"
RESERVED_OFFSETS: Final = "reserved_offsets"
INDEX_PREFIX: Final = "index:"
WORDS_PREFIX: Final = "words:"
DELETED_ROWS: Final = "dead_rows"
