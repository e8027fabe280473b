# mypy: disable-error-code="type-arg"
from pykyro.proto import kyrodb_pb2 as _kyrodb_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InsertRequest(_message.Message):
    __slots__ = ("doc_id", "embedding", "metadata", "namespace", "types", "collection", "text_id", "write_options", "expiry")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DOC_ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_ID_FIELD_NUMBER: _ClassVar[int]
    WRITE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    doc_id: int
    embedding: bytes
    metadata: _containers.ScalarMap[str, str]
    namespace: str
    types: str
    collection: str
    text_id: str
    write_options: _kyrodb_pb2.WriteOptions
    expiry: _kyrodb_pb2.Expiry
    def __init__(self, doc_id: _Optional[int] = ..., embedding: _Optional[bytes] = ..., metadata: _Optional[_Mapping[str, str]] = ..., namespace: _Optional[str] = ..., types: _Optional[str] = ..., collection: _Optional[str] = ..., text_id: _Optional[str] = ..., write_options: _Optional[_Union[_kyrodb_pb2.WriteOptions, _Mapping]] = ..., expiry: _Optional[_Union[_kyrodb_pb2.Expiry, _Mapping]] = ...) -> None: ...

class SearchRequest(_message.Message):
    __slots__ = ("query_embedding", "k", "min_score", "namespace", "include_embeddings", "filter", "ef_search", "metadata_filters", "exact", "exclude_metadata", "inline_errors", "collection", "read_options", "include_positions", "text", "fusion", "highlight", "explain", "grouping", "mmr")
    class MetadataFiltersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    QUERY_EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    MIN_SCORE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    EF_SEARCH_FIELD_NUMBER: _ClassVar[int]
    METADATA_FILTERS_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_METADATA_FIELD_NUMBER: _ClassVar[int]
    INLINE_ERRORS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    READ_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_POSITIONS_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    FUSION_FIELD_NUMBER: _ClassVar[int]
    HIGHLIGHT_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    GROUPING_FIELD_NUMBER: _ClassVar[int]
    MMR_FIELD_NUMBER: _ClassVar[int]
    query_embedding: bytes
    k: int
    min_score: float
    namespace: str
    include_embeddings: bool
    filter: _kyrodb_pb2.MetadataFilter
    ef_search: int
    metadata_filters: _containers.ScalarMap[str, str]
    exact: bool
    exclude_metadata: bool
    inline_errors: bool
    collection: str
    read_options: _kyrodb_pb2.ReadOptions
    include_positions: bool
    text: str
    fusion: _kyrodb_pb2.Fusion
    highlight: bool
    explain: bool
    grouping: _kyrodb_pb2.Grouping
    mmr: _kyrodb_pb2.Mmr
    def __init__(self, query_embedding: _Optional[bytes] = ..., k: _Optional[int] = ..., min_score: _Optional[float] = ..., namespace: _Optional[str] = ..., include_embeddings: bool = ..., filter: _Optional[_Union[_kyrodb_pb2.MetadataFilter, _Mapping]] = ..., ef_search: _Optional[int] = ..., metadata_filters: _Optional[_Mapping[str, str]] = ..., exact: bool = ..., exclude_metadata: bool = ..., inline_errors: bool = ..., collection: _Optional[str] = ..., read_options: _Optional[_Union[_kyrodb_pb2.ReadOptions, _Mapping]] = ..., include_positions: bool = ..., text: _Optional[str] = ..., fusion: _Optional[_Union[_kyrodb_pb2.Fusion, _Mapping]] = ..., highlight: bool = ..., explain: bool = ..., grouping: _Optional[_Union[_kyrodb_pb2.Grouping, _Mapping]] = ..., mmr: _Optional[_Union[_kyrodb_pb2.Mmr, _Mapping]] = ...) -> None: ...

class BatchInsertRequest(_message.Message):
    __slots__ = ("documents", "collection", "write_options")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    WRITE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedScalarFieldContainer[bytes]
    collection: str
    write_options: _kyrodb_pb2.WriteOptions
    def __init__(self, documents: _Optional[_Iterable[bytes]] = ..., collection: _Optional[str] = ..., write_options: _Optional[_Union[_kyrodb_pb2.WriteOptions, _Mapping]] = ...) -> None: ...

class Addressed(_message.Message):
    __slots__ = ("collection", "read_options")
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    READ_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    collection: str
    read_options: _kyrodb_pb2.ReadOptions
    def __init__(self, collection: _Optional[str] = ..., read_options: _Optional[_Union[_kyrodb_pb2.ReadOptions, _Mapping]] = ...) -> None: ...
