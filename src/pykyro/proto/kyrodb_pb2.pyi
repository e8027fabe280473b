# mypy: disable-error-code="type-arg"
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Expiry(_message.Message):
    __slots__ = ("expires_at", "ttl")
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    expires_at: int
    ttl: int
    def __init__(self, expires_at: _Optional[int] = ..., ttl: _Optional[int] = ...) -> None: ...

class WriteOptions(_message.Message):
    __slots__ = ("if_absent", "if_position", "if_filter", "idempotency_key")
    IF_ABSENT_FIELD_NUMBER: _ClassVar[int]
    IF_POSITION_FIELD_NUMBER: _ClassVar[int]
    IF_FILTER_FIELD_NUMBER: _ClassVar[int]
    IDEMPOTENCY_KEY_FIELD_NUMBER: _ClassVar[int]
    if_absent: bool
    if_position: int
    if_filter: MetadataFilter
    idempotency_key: str
    def __init__(self, if_absent: bool = ..., if_position: _Optional[int] = ..., if_filter: _Optional[_Union[MetadataFilter, _Mapping]] = ..., idempotency_key: _Optional[str] = ...) -> None: ...

class ReadOptions(_message.Message):
    __slots__ = ("min_position", "max_wait_ms")
    MIN_POSITION_FIELD_NUMBER: _ClassVar[int]
    MAX_WAIT_MS_FIELD_NUMBER: _ClassVar[int]
    min_position: int
    max_wait_ms: int
    def __init__(self, min_position: _Optional[int] = ..., max_wait_ms: _Optional[int] = ...) -> None: ...

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
    embedding: _containers.RepeatedScalarFieldContainer[float]
    metadata: _containers.ScalarMap[str, str]
    namespace: str
    types: str
    collection: str
    text_id: str
    write_options: WriteOptions
    expiry: Expiry
    def __init__(self, doc_id: _Optional[int] = ..., embedding: _Optional[_Iterable[float]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., namespace: _Optional[str] = ..., types: _Optional[str] = ..., collection: _Optional[str] = ..., text_id: _Optional[str] = ..., write_options: _Optional[_Union[WriteOptions, _Mapping]] = ..., expiry: _Optional[_Union[Expiry, _Mapping]] = ...) -> None: ...

class BatchInsertRequest(_message.Message):
    __slots__ = ("documents", "collection", "write_options")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    WRITE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[InsertRequest]
    collection: str
    write_options: WriteOptions
    def __init__(self, documents: _Optional[_Iterable[_Union[InsertRequest, _Mapping]]] = ..., collection: _Optional[str] = ..., write_options: _Optional[_Union[WriteOptions, _Mapping]] = ...) -> None: ...

class InsertResponse(_message.Message):
    __slots__ = ("success", "error", "inserted_at", "tier", "total_inserted", "total_failed", "refusals", "position")
    class Tier(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[InsertResponse.Tier]
        HOT_TIER: _ClassVar[InsertResponse.Tier]
        COLD_TIER: _ClassVar[InsertResponse.Tier]
    UNKNOWN: InsertResponse.Tier
    HOT_TIER: InsertResponse.Tier
    COLD_TIER: InsertResponse.Tier
    class Refusal(_message.Message):
        __slots__ = ("position", "error", "code")
        POSITION_FIELD_NUMBER: _ClassVar[int]
        ERROR_FIELD_NUMBER: _ClassVar[int]
        CODE_FIELD_NUMBER: _ClassVar[int]
        position: int
        error: str
        code: int
        def __init__(self, position: _Optional[int] = ..., error: _Optional[str] = ..., code: _Optional[int] = ...) -> None: ...
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    INSERTED_AT_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    TOTAL_INSERTED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FAILED_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error: str
    inserted_at: int
    tier: InsertResponse.Tier
    total_inserted: int
    total_failed: int
    refusals: _containers.RepeatedCompositeFieldContainer[InsertResponse.Refusal]
    position: int
    def __init__(self, success: bool = ..., error: _Optional[str] = ..., inserted_at: _Optional[int] = ..., tier: _Optional[_Union[InsertResponse.Tier, str]] = ..., total_inserted: _Optional[int] = ..., total_failed: _Optional[int] = ..., refusals: _Optional[_Iterable[_Union[InsertResponse.Refusal, _Mapping]]] = ..., position: _Optional[int] = ...) -> None: ...

class BulkLoadResponse(_message.Message):
    __slots__ = ("success", "error", "total_loaded", "total_failed", "load_duration_ms", "avg_insert_rate", "peak_memory_bytes", "position")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TOTAL_LOADED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FAILED_FIELD_NUMBER: _ClassVar[int]
    LOAD_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    AVG_INSERT_RATE_FIELD_NUMBER: _ClassVar[int]
    PEAK_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error: str
    total_loaded: int
    total_failed: int
    load_duration_ms: float
    avg_insert_rate: float
    peak_memory_bytes: int
    position: int
    def __init__(self, success: bool = ..., error: _Optional[str] = ..., total_loaded: _Optional[int] = ..., total_failed: _Optional[int] = ..., load_duration_ms: _Optional[float] = ..., avg_insert_rate: _Optional[float] = ..., peak_memory_bytes: _Optional[int] = ..., position: _Optional[int] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("doc_id", "namespace", "collection", "text_id", "write_options")
    DOC_ID_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_ID_FIELD_NUMBER: _ClassVar[int]
    WRITE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    doc_id: int
    namespace: str
    collection: str
    text_id: str
    write_options: WriteOptions
    def __init__(self, doc_id: _Optional[int] = ..., namespace: _Optional[str] = ..., collection: _Optional[str] = ..., text_id: _Optional[str] = ..., write_options: _Optional[_Union[WriteOptions, _Mapping]] = ...) -> None: ...

class DeleteResponse(_message.Message):
    __slots__ = ("success", "error", "existed", "position")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error: str
    existed: bool
    position: int
    def __init__(self, success: bool = ..., error: _Optional[str] = ..., existed: bool = ..., position: _Optional[int] = ...) -> None: ...

class UpdateMetadataRequest(_message.Message):
    __slots__ = ("doc_id", "metadata", "merge", "namespace", "types", "collection", "text_id", "write_options", "expiry")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DOC_ID_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    MERGE_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_ID_FIELD_NUMBER: _ClassVar[int]
    WRITE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    EXPIRY_FIELD_NUMBER: _ClassVar[int]
    doc_id: int
    metadata: _containers.ScalarMap[str, str]
    merge: bool
    namespace: str
    types: str
    collection: str
    text_id: str
    write_options: WriteOptions
    expiry: Expiry
    def __init__(self, doc_id: _Optional[int] = ..., metadata: _Optional[_Mapping[str, str]] = ..., merge: bool = ..., namespace: _Optional[str] = ..., types: _Optional[str] = ..., collection: _Optional[str] = ..., text_id: _Optional[str] = ..., write_options: _Optional[_Union[WriteOptions, _Mapping]] = ..., expiry: _Optional[_Union[Expiry, _Mapping]] = ...) -> None: ...

class UpdateMetadataResponse(_message.Message):
    __slots__ = ("success", "error", "existed", "position")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error: str
    existed: bool
    position: int
    def __init__(self, success: bool = ..., error: _Optional[str] = ..., existed: bool = ..., position: _Optional[int] = ...) -> None: ...

class BatchDeleteRequest(_message.Message):
    __slots__ = ("ids", "filter", "namespace", "collection", "write_options")
    IDS_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    WRITE_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ids: IdList
    filter: MetadataFilter
    namespace: str
    collection: str
    write_options: WriteOptions
    def __init__(self, ids: _Optional[_Union[IdList, _Mapping]] = ..., filter: _Optional[_Union[MetadataFilter, _Mapping]] = ..., namespace: _Optional[str] = ..., collection: _Optional[str] = ..., write_options: _Optional[_Union[WriteOptions, _Mapping]] = ...) -> None: ...

class IdList(_message.Message):
    __slots__ = ("doc_ids", "text_ids")
    DOC_IDS_FIELD_NUMBER: _ClassVar[int]
    TEXT_IDS_FIELD_NUMBER: _ClassVar[int]
    doc_ids: _containers.RepeatedScalarFieldContainer[int]
    text_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, doc_ids: _Optional[_Iterable[int]] = ..., text_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class BatchDeleteResponse(_message.Message):
    __slots__ = ("success", "deleted_count", "error", "position")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    DELETED_COUNT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    success: bool
    deleted_count: int
    error: str
    position: int
    def __init__(self, success: bool = ..., deleted_count: _Optional[int] = ..., error: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class QueryRequest(_message.Message):
    __slots__ = ("doc_id", "include_embedding", "namespace", "collection", "text_id", "read_options")
    DOC_ID_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_ID_FIELD_NUMBER: _ClassVar[int]
    READ_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    doc_id: int
    include_embedding: bool
    namespace: str
    collection: str
    text_id: str
    read_options: ReadOptions
    def __init__(self, doc_id: _Optional[int] = ..., include_embedding: bool = ..., namespace: _Optional[str] = ..., collection: _Optional[str] = ..., text_id: _Optional[str] = ..., read_options: _Optional[_Union[ReadOptions, _Mapping]] = ...) -> None: ...

class QueryResponse(_message.Message):
    __slots__ = ("found", "doc_id", "embedding", "metadata", "served_from", "error", "types", "text_id", "position", "expires_at")
    class ServedFrom(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[QueryResponse.ServedFrom]
        CACHE: _ClassVar[QueryResponse.ServedFrom]
        HOT_TIER: _ClassVar[QueryResponse.ServedFrom]
        COLD_TIER: _ClassVar[QueryResponse.ServedFrom]
    UNKNOWN: QueryResponse.ServedFrom
    CACHE: QueryResponse.ServedFrom
    HOT_TIER: QueryResponse.ServedFrom
    COLD_TIER: QueryResponse.ServedFrom
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    FOUND_FIELD_NUMBER: _ClassVar[int]
    DOC_ID_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    SERVED_FROM_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    TEXT_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    found: bool
    doc_id: int
    embedding: _containers.RepeatedScalarFieldContainer[float]
    metadata: _containers.ScalarMap[str, str]
    served_from: QueryResponse.ServedFrom
    error: str
    types: str
    text_id: str
    position: int
    expires_at: int
    def __init__(self, found: bool = ..., doc_id: _Optional[int] = ..., embedding: _Optional[_Iterable[float]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., served_from: _Optional[_Union[QueryResponse.ServedFrom, str]] = ..., error: _Optional[str] = ..., types: _Optional[str] = ..., text_id: _Optional[str] = ..., position: _Optional[int] = ..., expires_at: _Optional[int] = ...) -> None: ...

class BulkQueryRequest(_message.Message):
    __slots__ = ("doc_ids", "include_embeddings", "namespace", "collection", "text_ids", "read_options")
    DOC_IDS_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    TEXT_IDS_FIELD_NUMBER: _ClassVar[int]
    READ_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    doc_ids: _containers.RepeatedScalarFieldContainer[int]
    include_embeddings: bool
    namespace: str
    collection: str
    text_ids: _containers.RepeatedScalarFieldContainer[str]
    read_options: ReadOptions
    def __init__(self, doc_ids: _Optional[_Iterable[int]] = ..., include_embeddings: bool = ..., namespace: _Optional[str] = ..., collection: _Optional[str] = ..., text_ids: _Optional[_Iterable[str]] = ..., read_options: _Optional[_Union[ReadOptions, _Mapping]] = ...) -> None: ...

class BulkQueryResponse(_message.Message):
    __slots__ = ("results", "total_found", "total_requested", "error")
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FOUND_FIELD_NUMBER: _ClassVar[int]
    TOTAL_REQUESTED_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[QueryResponse]
    total_found: int
    total_requested: int
    error: str
    def __init__(self, results: _Optional[_Iterable[_Union[QueryResponse, _Mapping]]] = ..., total_found: _Optional[int] = ..., total_requested: _Optional[int] = ..., error: _Optional[str] = ...) -> None: ...

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
    query_embedding: _containers.RepeatedScalarFieldContainer[float]
    k: int
    min_score: float
    namespace: str
    include_embeddings: bool
    filter: MetadataFilter
    ef_search: int
    metadata_filters: _containers.ScalarMap[str, str]
    exact: bool
    exclude_metadata: bool
    inline_errors: bool
    collection: str
    read_options: ReadOptions
    include_positions: bool
    text: str
    fusion: Fusion
    highlight: bool
    explain: bool
    grouping: Grouping
    mmr: Mmr
    def __init__(self, query_embedding: _Optional[_Iterable[float]] = ..., k: _Optional[int] = ..., min_score: _Optional[float] = ..., namespace: _Optional[str] = ..., include_embeddings: bool = ..., filter: _Optional[_Union[MetadataFilter, _Mapping]] = ..., ef_search: _Optional[int] = ..., metadata_filters: _Optional[_Mapping[str, str]] = ..., exact: bool = ..., exclude_metadata: bool = ..., inline_errors: bool = ..., collection: _Optional[str] = ..., read_options: _Optional[_Union[ReadOptions, _Mapping]] = ..., include_positions: bool = ..., text: _Optional[str] = ..., fusion: _Optional[_Union[Fusion, _Mapping]] = ..., highlight: bool = ..., explain: bool = ..., grouping: _Optional[_Union[Grouping, _Mapping]] = ..., mmr: _Optional[_Union[Mmr, _Mapping]] = ...) -> None: ...

class Grouping(_message.Message):
    __slots__ = ("key", "size")
    KEY_FIELD_NUMBER: _ClassVar[int]
    SIZE_FIELD_NUMBER: _ClassVar[int]
    key: str
    size: int
    def __init__(self, key: _Optional[str] = ..., size: _Optional[int] = ...) -> None: ...

class Mmr(_message.Message):
    __slots__ = ("relevance", "candidates")
    RELEVANCE_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    relevance: float
    candidates: int
    def __init__(self, relevance: _Optional[float] = ..., candidates: _Optional[int] = ...) -> None: ...

class Fusion(_message.Message):
    __slots__ = ("method", "weights", "depth", "depths")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class DepthsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    METHOD_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    DEPTH_FIELD_NUMBER: _ClassVar[int]
    DEPTHS_FIELD_NUMBER: _ClassVar[int]
    method: str
    weights: _containers.ScalarMap[str, float]
    depth: int
    depths: _containers.ScalarMap[str, int]
    def __init__(self, method: _Optional[str] = ..., weights: _Optional[_Mapping[str, float]] = ..., depth: _Optional[int] = ..., depths: _Optional[_Mapping[str, int]] = ...) -> None: ...

class MetadataFilter(_message.Message):
    __slots__ = ("exact", "range", "in_match", "and_filter", "or_filter", "not_filter", "typed")
    EXACT_FIELD_NUMBER: _ClassVar[int]
    RANGE_FIELD_NUMBER: _ClassVar[int]
    IN_MATCH_FIELD_NUMBER: _ClassVar[int]
    AND_FILTER_FIELD_NUMBER: _ClassVar[int]
    OR_FILTER_FIELD_NUMBER: _ClassVar[int]
    NOT_FILTER_FIELD_NUMBER: _ClassVar[int]
    TYPED_FIELD_NUMBER: _ClassVar[int]
    exact: ExactMatch
    range: RangeMatch
    in_match: InMatch
    and_filter: AndFilter
    or_filter: OrFilter
    not_filter: NotFilter
    typed: TypedMatch
    def __init__(self, exact: _Optional[_Union[ExactMatch, _Mapping]] = ..., range: _Optional[_Union[RangeMatch, _Mapping]] = ..., in_match: _Optional[_Union[InMatch, _Mapping]] = ..., and_filter: _Optional[_Union[AndFilter, _Mapping]] = ..., or_filter: _Optional[_Union[OrFilter, _Mapping]] = ..., not_filter: _Optional[_Union[NotFilter, _Mapping]] = ..., typed: _Optional[_Union[TypedMatch, _Mapping]] = ...) -> None: ...

class ExactMatch(_message.Message):
    __slots__ = ("key", "value", "type")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    key: str
    value: str
    type: str
    def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class RangeMatch(_message.Message):
    __slots__ = ("key", "gte", "lte", "gt", "lt", "type")
    KEY_FIELD_NUMBER: _ClassVar[int]
    GTE_FIELD_NUMBER: _ClassVar[int]
    LTE_FIELD_NUMBER: _ClassVar[int]
    GT_FIELD_NUMBER: _ClassVar[int]
    LT_FIELD_NUMBER: _ClassVar[int]
    TYPE_FIELD_NUMBER: _ClassVar[int]
    key: str
    gte: str
    lte: str
    gt: str
    lt: str
    type: str
    def __init__(self, key: _Optional[str] = ..., gte: _Optional[str] = ..., lte: _Optional[str] = ..., gt: _Optional[str] = ..., lt: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...

class InMatch(_message.Message):
    __slots__ = ("key", "values", "types")
    KEY_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    key: str
    values: _containers.RepeatedScalarFieldContainer[str]
    types: str
    def __init__(self, key: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ..., types: _Optional[str] = ...) -> None: ...

class TypedMatch(_message.Message):
    __slots__ = ("key", "operator", "operands", "low", "high", "low_open", "high_open", "strict")
    class Operator(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[TypedMatch.Operator]
        IN: _ClassVar[TypedMatch.Operator]
        BETWEEN: _ClassVar[TypedMatch.Operator]
        CONTAINS: _ClassVar[TypedMatch.Operator]
        ICONTAINS: _ClassVar[TypedMatch.Operator]
        PREFIX: _ClassVar[TypedMatch.Operator]
        EXISTS: _ClassVar[TypedMatch.Operator]
    UNKNOWN: TypedMatch.Operator
    IN: TypedMatch.Operator
    BETWEEN: TypedMatch.Operator
    CONTAINS: TypedMatch.Operator
    ICONTAINS: TypedMatch.Operator
    PREFIX: TypedMatch.Operator
    EXISTS: TypedMatch.Operator
    class Operand(_message.Message):
        __slots__ = ("text", "type")
        TEXT_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        text: str
        type: str
        def __init__(self, text: _Optional[str] = ..., type: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    OPERANDS_FIELD_NUMBER: _ClassVar[int]
    LOW_FIELD_NUMBER: _ClassVar[int]
    HIGH_FIELD_NUMBER: _ClassVar[int]
    LOW_OPEN_FIELD_NUMBER: _ClassVar[int]
    HIGH_OPEN_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    key: str
    operator: TypedMatch.Operator
    operands: _containers.RepeatedCompositeFieldContainer[TypedMatch.Operand]
    low: TypedMatch.Operand
    high: TypedMatch.Operand
    low_open: bool
    high_open: bool
    strict: bool
    def __init__(self, key: _Optional[str] = ..., operator: _Optional[_Union[TypedMatch.Operator, str]] = ..., operands: _Optional[_Iterable[_Union[TypedMatch.Operand, _Mapping]]] = ..., low: _Optional[_Union[TypedMatch.Operand, _Mapping]] = ..., high: _Optional[_Union[TypedMatch.Operand, _Mapping]] = ..., low_open: bool = ..., high_open: bool = ..., strict: bool = ...) -> None: ...

class AndFilter(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[MetadataFilter]
    def __init__(self, filters: _Optional[_Iterable[_Union[MetadataFilter, _Mapping]]] = ...) -> None: ...

class OrFilter(_message.Message):
    __slots__ = ("filters",)
    FILTERS_FIELD_NUMBER: _ClassVar[int]
    filters: _containers.RepeatedCompositeFieldContainer[MetadataFilter]
    def __init__(self, filters: _Optional[_Iterable[_Union[MetadataFilter, _Mapping]]] = ...) -> None: ...

class NotFilter(_message.Message):
    __slots__ = ("filter", "with_types")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    WITH_TYPES_FIELD_NUMBER: _ClassVar[int]
    filter: MetadataFilter
    with_types: MetadataFilter
    def __init__(self, filter: _Optional[_Union[MetadataFilter, _Mapping]] = ..., with_types: _Optional[_Union[MetadataFilter, _Mapping]] = ...) -> None: ...

class SearchResult(_message.Message):
    __slots__ = ("doc_id", "score", "embedding", "metadata", "types", "text_id", "position", "expires_at", "precise_score", "legs", "highlights", "group", "group_type")
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    DOC_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    TYPES_FIELD_NUMBER: _ClassVar[int]
    TEXT_ID_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    EXPIRES_AT_FIELD_NUMBER: _ClassVar[int]
    PRECISE_SCORE_FIELD_NUMBER: _ClassVar[int]
    LEGS_FIELD_NUMBER: _ClassVar[int]
    HIGHLIGHTS_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    GROUP_TYPE_FIELD_NUMBER: _ClassVar[int]
    doc_id: int
    score: float
    embedding: _containers.RepeatedScalarFieldContainer[float]
    metadata: _containers.ScalarMap[str, str]
    types: str
    text_id: str
    position: int
    expires_at: int
    precise_score: float
    legs: _containers.RepeatedCompositeFieldContainer[LegScore]
    highlights: _containers.RepeatedCompositeFieldContainer[Highlight]
    group: str
    group_type: str
    def __init__(self, doc_id: _Optional[int] = ..., score: _Optional[float] = ..., embedding: _Optional[_Iterable[float]] = ..., metadata: _Optional[_Mapping[str, str]] = ..., types: _Optional[str] = ..., text_id: _Optional[str] = ..., position: _Optional[int] = ..., expires_at: _Optional[int] = ..., precise_score: _Optional[float] = ..., legs: _Optional[_Iterable[_Union[LegScore, _Mapping]]] = ..., highlights: _Optional[_Iterable[_Union[Highlight, _Mapping]]] = ..., group: _Optional[str] = ..., group_type: _Optional[str] = ...) -> None: ...

class LegScore(_message.Message):
    __slots__ = ("leg", "rank", "score")
    LEG_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    leg: str
    rank: int
    score: float
    def __init__(self, leg: _Optional[str] = ..., rank: _Optional[int] = ..., score: _Optional[float] = ...) -> None: ...

class Highlight(_message.Message):
    __slots__ = ("key", "start", "end")
    KEY_FIELD_NUMBER: _ClassVar[int]
    START_FIELD_NUMBER: _ClassVar[int]
    END_FIELD_NUMBER: _ClassVar[int]
    key: str
    start: int
    end: int
    def __init__(self, key: _Optional[str] = ..., start: _Optional[int] = ..., end: _Optional[int] = ...) -> None: ...

class SearchResponse(_message.Message):
    __slots__ = ("results", "total_found", "search_latency_ms", "search_path", "error", "partial", "exact", "plan", "rows_examined", "matched", "cache_kind", "cache_margin", "position", "fusion_end")
    class FusionEnd(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NOT_FUSED: _ClassVar[SearchResponse.FusionEnd]
        EXHAUSTED: _ClassVar[SearchResponse.FusionEnd]
        PROVED: _ClassVar[SearchResponse.FusionEnd]
        BOUNDED: _ClassVar[SearchResponse.FusionEnd]
        AS_ASKED: _ClassVar[SearchResponse.FusionEnd]
    NOT_FUSED: SearchResponse.FusionEnd
    EXHAUSTED: SearchResponse.FusionEnd
    PROVED: SearchResponse.FusionEnd
    BOUNDED: SearchResponse.FusionEnd
    AS_ASKED: SearchResponse.FusionEnd
    class SearchPath(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[SearchResponse.SearchPath]
        CACHE_HIT: _ClassVar[SearchResponse.SearchPath]
        HOT_TIER_ONLY: _ClassVar[SearchResponse.SearchPath]
        COLD_TIER_ONLY: _ClassVar[SearchResponse.SearchPath]
        HOT_AND_COLD: _ClassVar[SearchResponse.SearchPath]
    UNKNOWN: SearchResponse.SearchPath
    CACHE_HIT: SearchResponse.SearchPath
    HOT_TIER_ONLY: SearchResponse.SearchPath
    COLD_TIER_ONLY: SearchResponse.SearchPath
    HOT_AND_COLD: SearchResponse.SearchPath
    class CacheKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        NOT_CACHED: _ClassVar[SearchResponse.CacheKind]
        EXACT: _ClassVar[SearchResponse.CacheKind]
        CERTIFIED: _ClassVar[SearchResponse.CacheKind]
        RESCORED: _ClassVar[SearchResponse.CacheKind]
        THRESHOLD: _ClassVar[SearchResponse.CacheKind]
    NOT_CACHED: SearchResponse.CacheKind
    EXACT: SearchResponse.CacheKind
    CERTIFIED: SearchResponse.CacheKind
    RESCORED: SearchResponse.CacheKind
    THRESHOLD: SearchResponse.CacheKind
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FOUND_FIELD_NUMBER: _ClassVar[int]
    SEARCH_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    SEARCH_PATH_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    PARTIAL_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    ROWS_EXAMINED_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    CACHE_KIND_FIELD_NUMBER: _ClassVar[int]
    CACHE_MARGIN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    FUSION_END_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[SearchResult]
    total_found: int
    search_latency_ms: float
    search_path: SearchResponse.SearchPath
    error: str
    partial: bool
    exact: bool
    plan: str
    rows_examined: int
    matched: int
    cache_kind: SearchResponse.CacheKind
    cache_margin: float
    position: int
    fusion_end: SearchResponse.FusionEnd
    def __init__(self, results: _Optional[_Iterable[_Union[SearchResult, _Mapping]]] = ..., total_found: _Optional[int] = ..., search_latency_ms: _Optional[float] = ..., search_path: _Optional[_Union[SearchResponse.SearchPath, str]] = ..., error: _Optional[str] = ..., partial: bool = ..., exact: bool = ..., plan: _Optional[str] = ..., rows_examined: _Optional[int] = ..., matched: _Optional[int] = ..., cache_kind: _Optional[_Union[SearchResponse.CacheKind, str]] = ..., cache_margin: _Optional[float] = ..., position: _Optional[int] = ..., fusion_end: _Optional[_Union[SearchResponse.FusionEnd, str]] = ...) -> None: ...

class ScrollRequest(_message.Message):
    __slots__ = ("filter", "namespace", "limit", "page_token", "descending", "include_embeddings", "exclude_metadata", "collection", "read_options", "order_by")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    DESCENDING_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_METADATA_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    READ_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    ORDER_BY_FIELD_NUMBER: _ClassVar[int]
    filter: MetadataFilter
    namespace: str
    limit: int
    page_token: str
    descending: bool
    include_embeddings: bool
    exclude_metadata: bool
    collection: str
    read_options: ReadOptions
    order_by: str
    def __init__(self, filter: _Optional[_Union[MetadataFilter, _Mapping]] = ..., namespace: _Optional[str] = ..., limit: _Optional[int] = ..., page_token: _Optional[str] = ..., descending: bool = ..., include_embeddings: bool = ..., exclude_metadata: bool = ..., collection: _Optional[str] = ..., read_options: _Optional[_Union[ReadOptions, _Mapping]] = ..., order_by: _Optional[str] = ...) -> None: ...

class ScrollResponse(_message.Message):
    __slots__ = ("documents", "next_page_token", "position")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    documents: _containers.RepeatedCompositeFieldContainer[QueryResponse]
    next_page_token: str
    position: int
    def __init__(self, documents: _Optional[_Iterable[_Union[QueryResponse, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class CountRequest(_message.Message):
    __slots__ = ("filter", "namespace", "collection", "read_options")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    READ_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    filter: MetadataFilter
    namespace: str
    collection: str
    read_options: ReadOptions
    def __init__(self, filter: _Optional[_Union[MetadataFilter, _Mapping]] = ..., namespace: _Optional[str] = ..., collection: _Optional[str] = ..., read_options: _Optional[_Union[ReadOptions, _Mapping]] = ...) -> None: ...

class CountResponse(_message.Message):
    __slots__ = ("count", "position")
    COUNT_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    count: int
    position: int
    def __init__(self, count: _Optional[int] = ..., position: _Optional[int] = ...) -> None: ...

class SampleRequest(_message.Message):
    __slots__ = ("filter", "namespace", "count", "include_embeddings", "exclude_metadata", "collection", "read_options")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_EMBEDDINGS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_METADATA_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    READ_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    filter: MetadataFilter
    namespace: str
    count: int
    include_embeddings: bool
    exclude_metadata: bool
    collection: str
    read_options: ReadOptions
    def __init__(self, filter: _Optional[_Union[MetadataFilter, _Mapping]] = ..., namespace: _Optional[str] = ..., count: _Optional[int] = ..., include_embeddings: bool = ..., exclude_metadata: bool = ..., collection: _Optional[str] = ..., read_options: _Optional[_Union[ReadOptions, _Mapping]] = ...) -> None: ...

class FacetsRequest(_message.Message):
    __slots__ = ("filter", "namespace", "key", "limit", "collection", "read_options")
    FILTER_FIELD_NUMBER: _ClassVar[int]
    NAMESPACE_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    READ_OPTIONS_FIELD_NUMBER: _ClassVar[int]
    filter: MetadataFilter
    namespace: str
    key: str
    limit: int
    collection: str
    read_options: ReadOptions
    def __init__(self, filter: _Optional[_Union[MetadataFilter, _Mapping]] = ..., namespace: _Optional[str] = ..., key: _Optional[str] = ..., limit: _Optional[int] = ..., collection: _Optional[str] = ..., read_options: _Optional[_Union[ReadOptions, _Mapping]] = ...) -> None: ...

class FacetsResponse(_message.Message):
    __slots__ = ("facets", "position")
    class Facet(_message.Message):
        __slots__ = ("text", "type", "count")
        TEXT_FIELD_NUMBER: _ClassVar[int]
        TYPE_FIELD_NUMBER: _ClassVar[int]
        COUNT_FIELD_NUMBER: _ClassVar[int]
        text: str
        type: str
        count: int
        def __init__(self, text: _Optional[str] = ..., type: _Optional[str] = ..., count: _Optional[int] = ...) -> None: ...
    FACETS_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    facets: _containers.RepeatedCompositeFieldContainer[FacetsResponse.Facet]
    position: int
    def __init__(self, facets: _Optional[_Iterable[_Union[FacetsResponse.Facet, _Mapping]]] = ..., position: _Optional[int] = ...) -> None: ...

class HealthRequest(_message.Message):
    __slots__ = ("component",)
    COMPONENT_FIELD_NUMBER: _ClassVar[int]
    component: str
    def __init__(self, component: _Optional[str] = ...) -> None: ...

class HealthResponse(_message.Message):
    __slots__ = ("status", "version", "components", "uptime_seconds", "git_commit", "role", "archive_epoch")
    class Status(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        UNKNOWN: _ClassVar[HealthResponse.Status]
        HEALTHY: _ClassVar[HealthResponse.Status]
        DEGRADED: _ClassVar[HealthResponse.Status]
        UNHEALTHY: _ClassVar[HealthResponse.Status]
    UNKNOWN: HealthResponse.Status
    HEALTHY: HealthResponse.Status
    DEGRADED: HealthResponse.Status
    UNHEALTHY: HealthResponse.Status
    class Role(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        ROLE_UNKNOWN: _ClassVar[HealthResponse.Role]
        ROLE_LEADER: _ClassVar[HealthResponse.Role]
        ROLE_FOLLOWER: _ClassVar[HealthResponse.Role]
        ROLE_SUPERSEDED: _ClassVar[HealthResponse.Role]
    ROLE_UNKNOWN: HealthResponse.Role
    ROLE_LEADER: HealthResponse.Role
    ROLE_FOLLOWER: HealthResponse.Role
    ROLE_SUPERSEDED: HealthResponse.Role
    class ComponentsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    STATUS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    COMPONENTS_FIELD_NUMBER: _ClassVar[int]
    UPTIME_SECONDS_FIELD_NUMBER: _ClassVar[int]
    GIT_COMMIT_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    ARCHIVE_EPOCH_FIELD_NUMBER: _ClassVar[int]
    status: HealthResponse.Status
    version: str
    components: _containers.ScalarMap[str, str]
    uptime_seconds: int
    git_commit: str
    role: HealthResponse.Role
    archive_epoch: int
    def __init__(self, status: _Optional[_Union[HealthResponse.Status, str]] = ..., version: _Optional[str] = ..., components: _Optional[_Mapping[str, str]] = ..., uptime_seconds: _Optional[int] = ..., git_commit: _Optional[str] = ..., role: _Optional[_Union[HealthResponse.Role, str]] = ..., archive_epoch: _Optional[int] = ...) -> None: ...

class MetricsRequest(_message.Message):
    __slots__ = ("categories", "collection")
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    categories: _containers.RepeatedScalarFieldContainer[str]
    collection: str
    def __init__(self, categories: _Optional[_Iterable[str]] = ..., collection: _Optional[str] = ...) -> None: ...

class MetricsResponse(_message.Message):
    __slots__ = ("cache_hits", "cache_misses", "cache_hit_rate", "cache_size", "hot_tier_hits", "hot_tier_misses", "hot_tier_hit_rate", "hot_tier_size", "hot_tier_flushes", "cold_tier_searches", "cold_tier_size", "p50_latency_ms", "p95_latency_ms", "p99_latency_ms", "total_queries", "total_inserts", "queries_per_second", "inserts_per_second", "memory_usage_bytes", "disk_usage_bytes", "cpu_usage_percent", "overall_hit_rate", "collected_at")
    CACHE_HITS_FIELD_NUMBER: _ClassVar[int]
    CACHE_MISSES_FIELD_NUMBER: _ClassVar[int]
    CACHE_HIT_RATE_FIELD_NUMBER: _ClassVar[int]
    CACHE_SIZE_FIELD_NUMBER: _ClassVar[int]
    HOT_TIER_HITS_FIELD_NUMBER: _ClassVar[int]
    HOT_TIER_MISSES_FIELD_NUMBER: _ClassVar[int]
    HOT_TIER_HIT_RATE_FIELD_NUMBER: _ClassVar[int]
    HOT_TIER_SIZE_FIELD_NUMBER: _ClassVar[int]
    HOT_TIER_FLUSHES_FIELD_NUMBER: _ClassVar[int]
    COLD_TIER_SEARCHES_FIELD_NUMBER: _ClassVar[int]
    COLD_TIER_SIZE_FIELD_NUMBER: _ClassVar[int]
    P50_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    P95_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    P99_LATENCY_MS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_QUERIES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_INSERTS_FIELD_NUMBER: _ClassVar[int]
    QUERIES_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    INSERTS_PER_SECOND_FIELD_NUMBER: _ClassVar[int]
    MEMORY_USAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    DISK_USAGE_BYTES_FIELD_NUMBER: _ClassVar[int]
    CPU_USAGE_PERCENT_FIELD_NUMBER: _ClassVar[int]
    OVERALL_HIT_RATE_FIELD_NUMBER: _ClassVar[int]
    COLLECTED_AT_FIELD_NUMBER: _ClassVar[int]
    cache_hits: int
    cache_misses: int
    cache_hit_rate: float
    cache_size: int
    hot_tier_hits: int
    hot_tier_misses: int
    hot_tier_hit_rate: float
    hot_tier_size: int
    hot_tier_flushes: int
    cold_tier_searches: int
    cold_tier_size: int
    p50_latency_ms: float
    p95_latency_ms: float
    p99_latency_ms: float
    total_queries: int
    total_inserts: int
    queries_per_second: float
    inserts_per_second: float
    memory_usage_bytes: int
    disk_usage_bytes: int
    cpu_usage_percent: float
    overall_hit_rate: float
    collected_at: int
    def __init__(self, cache_hits: _Optional[int] = ..., cache_misses: _Optional[int] = ..., cache_hit_rate: _Optional[float] = ..., cache_size: _Optional[int] = ..., hot_tier_hits: _Optional[int] = ..., hot_tier_misses: _Optional[int] = ..., hot_tier_hit_rate: _Optional[float] = ..., hot_tier_size: _Optional[int] = ..., hot_tier_flushes: _Optional[int] = ..., cold_tier_searches: _Optional[int] = ..., cold_tier_size: _Optional[int] = ..., p50_latency_ms: _Optional[float] = ..., p95_latency_ms: _Optional[float] = ..., p99_latency_ms: _Optional[float] = ..., total_queries: _Optional[int] = ..., total_inserts: _Optional[int] = ..., queries_per_second: _Optional[float] = ..., inserts_per_second: _Optional[float] = ..., memory_usage_bytes: _Optional[int] = ..., disk_usage_bytes: _Optional[int] = ..., cpu_usage_percent: _Optional[float] = ..., overall_hit_rate: _Optional[float] = ..., collected_at: _Optional[int] = ...) -> None: ...

class FlushRequest(_message.Message):
    __slots__ = ("force", "collection")
    FORCE_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    force: bool
    collection: str
    def __init__(self, force: bool = ..., collection: _Optional[str] = ...) -> None: ...

class FlushResponse(_message.Message):
    __slots__ = ("success", "error", "documents_flushed", "flush_duration_ms")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FLUSHED_FIELD_NUMBER: _ClassVar[int]
    FLUSH_DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error: str
    documents_flushed: int
    flush_duration_ms: float
    def __init__(self, success: bool = ..., error: _Optional[str] = ..., documents_flushed: _Optional[int] = ..., flush_duration_ms: _Optional[float] = ...) -> None: ...

class CompactRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class CompactResponse(_message.Message):
    __slots__ = ("success", "error", "documents", "segments_before", "segments", "bytes_before", "bytes", "duration_ms")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_BEFORE_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    BYTES_BEFORE_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error: str
    documents: int
    segments_before: int
    segments: int
    bytes_before: int
    bytes: int
    duration_ms: float
    def __init__(self, success: bool = ..., error: _Optional[str] = ..., documents: _Optional[int] = ..., segments_before: _Optional[int] = ..., segments: _Optional[int] = ..., bytes_before: _Optional[int] = ..., bytes: _Optional[int] = ..., duration_ms: _Optional[float] = ...) -> None: ...

class SnapshotRequest(_message.Message):
    __slots__ = ("path", "collection")
    PATH_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    path: str
    collection: str
    def __init__(self, path: _Optional[str] = ..., collection: _Optional[str] = ...) -> None: ...

class SnapshotResponse(_message.Message):
    __slots__ = ("success", "error", "snapshot_path", "documents_snapshotted", "snapshot_size_bytes")
    SUCCESS_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_PATH_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_SNAPSHOTTED_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    success: bool
    error: str
    snapshot_path: str
    documents_snapshotted: int
    snapshot_size_bytes: int
    def __init__(self, success: bool = ..., error: _Optional[str] = ..., snapshot_path: _Optional[str] = ..., documents_snapshotted: _Optional[int] = ..., snapshot_size_bytes: _Optional[int] = ...) -> None: ...

class ConfigRequest(_message.Message):
    __slots__ = ("collection",)
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    collection: str
    def __init__(self, collection: _Optional[str] = ...) -> None: ...

class ConfigResponse(_message.Message):
    __slots__ = ("hot_tier_max_size", "hot_tier_max_age_seconds", "hnsw_max_elements", "data_dir", "fsync_policy", "snapshot_interval", "flush_interval_seconds", "embedding_dimension", "version", "hnsw_m", "hnsw_ef_construction", "hnsw_ef_search", "hnsw_distance", "hnsw_disable_normalization_check", "id_type")
    HOT_TIER_MAX_SIZE_FIELD_NUMBER: _ClassVar[int]
    HOT_TIER_MAX_AGE_SECONDS_FIELD_NUMBER: _ClassVar[int]
    HNSW_MAX_ELEMENTS_FIELD_NUMBER: _ClassVar[int]
    DATA_DIR_FIELD_NUMBER: _ClassVar[int]
    FSYNC_POLICY_FIELD_NUMBER: _ClassVar[int]
    SNAPSHOT_INTERVAL_FIELD_NUMBER: _ClassVar[int]
    FLUSH_INTERVAL_SECONDS_FIELD_NUMBER: _ClassVar[int]
    EMBEDDING_DIMENSION_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    HNSW_M_FIELD_NUMBER: _ClassVar[int]
    HNSW_EF_CONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    HNSW_EF_SEARCH_FIELD_NUMBER: _ClassVar[int]
    HNSW_DISTANCE_FIELD_NUMBER: _ClassVar[int]
    HNSW_DISABLE_NORMALIZATION_CHECK_FIELD_NUMBER: _ClassVar[int]
    ID_TYPE_FIELD_NUMBER: _ClassVar[int]
    hot_tier_max_size: int
    hot_tier_max_age_seconds: int
    hnsw_max_elements: int
    data_dir: str
    fsync_policy: str
    snapshot_interval: int
    flush_interval_seconds: int
    embedding_dimension: int
    version: str
    hnsw_m: int
    hnsw_ef_construction: int
    hnsw_ef_search: int
    hnsw_distance: str
    hnsw_disable_normalization_check: bool
    id_type: str
    def __init__(self, hot_tier_max_size: _Optional[int] = ..., hot_tier_max_age_seconds: _Optional[int] = ..., hnsw_max_elements: _Optional[int] = ..., data_dir: _Optional[str] = ..., fsync_policy: _Optional[str] = ..., snapshot_interval: _Optional[int] = ..., flush_interval_seconds: _Optional[int] = ..., embedding_dimension: _Optional[int] = ..., version: _Optional[str] = ..., hnsw_m: _Optional[int] = ..., hnsw_ef_construction: _Optional[int] = ..., hnsw_ef_search: _Optional[int] = ..., hnsw_distance: _Optional[str] = ..., hnsw_disable_normalization_check: bool = ..., id_type: _Optional[str] = ...) -> None: ...

class CollectionConfig(_message.Message):
    __slots__ = ("dimension", "distance", "m", "ef_construction", "ef_search", "id_type", "default_ttl_us", "text", "cold_tier")
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    M_FIELD_NUMBER: _ClassVar[int]
    EF_CONSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    EF_SEARCH_FIELD_NUMBER: _ClassVar[int]
    ID_TYPE_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TTL_US_FIELD_NUMBER: _ClassVar[int]
    TEXT_FIELD_NUMBER: _ClassVar[int]
    COLD_TIER_FIELD_NUMBER: _ClassVar[int]
    dimension: int
    distance: str
    m: int
    ef_construction: int
    ef_search: int
    id_type: str
    default_ttl_us: int
    text: TextOptions
    cold_tier: str
    def __init__(self, dimension: _Optional[int] = ..., distance: _Optional[str] = ..., m: _Optional[int] = ..., ef_construction: _Optional[int] = ..., ef_search: _Optional[int] = ..., id_type: _Optional[str] = ..., default_ttl_us: _Optional[int] = ..., text: _Optional[_Union[TextOptions, _Mapping]] = ..., cold_tier: _Optional[str] = ...) -> None: ...

class TextOptions(_message.Message):
    __slots__ = ("keys", "language", "k1", "b", "stop_words")
    KEYS_FIELD_NUMBER: _ClassVar[int]
    LANGUAGE_FIELD_NUMBER: _ClassVar[int]
    K1_FIELD_NUMBER: _ClassVar[int]
    B_FIELD_NUMBER: _ClassVar[int]
    STOP_WORDS_FIELD_NUMBER: _ClassVar[int]
    keys: _containers.RepeatedScalarFieldContainer[str]
    language: str
    k1: float
    b: float
    stop_words: bool
    def __init__(self, keys: _Optional[_Iterable[str]] = ..., language: _Optional[str] = ..., k1: _Optional[float] = ..., b: _Optional[float] = ..., stop_words: bool = ...) -> None: ...

class CollectionInfo(_message.Message):
    __slots__ = ("name", "config", "aliases", "created_at_us", "documents", "size_bytes", "open", "trouble")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    ALIASES_FIELD_NUMBER: _ClassVar[int]
    CREATED_AT_US_FIELD_NUMBER: _ClassVar[int]
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    SIZE_BYTES_FIELD_NUMBER: _ClassVar[int]
    OPEN_FIELD_NUMBER: _ClassVar[int]
    TROUBLE_FIELD_NUMBER: _ClassVar[int]
    name: str
    config: CollectionConfig
    aliases: _containers.RepeatedScalarFieldContainer[str]
    created_at_us: int
    documents: int
    size_bytes: int
    open: bool
    trouble: str
    def __init__(self, name: _Optional[str] = ..., config: _Optional[_Union[CollectionConfig, _Mapping]] = ..., aliases: _Optional[_Iterable[str]] = ..., created_at_us: _Optional[int] = ..., documents: _Optional[int] = ..., size_bytes: _Optional[int] = ..., open: bool = ..., trouble: _Optional[str] = ...) -> None: ...

class CreateCollectionRequest(_message.Message):
    __slots__ = ("name", "config", "exist_ok")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CONFIG_FIELD_NUMBER: _ClassVar[int]
    EXIST_OK_FIELD_NUMBER: _ClassVar[int]
    name: str
    config: CollectionConfig
    exist_ok: bool
    def __init__(self, name: _Optional[str] = ..., config: _Optional[_Union[CollectionConfig, _Mapping]] = ..., exist_ok: bool = ...) -> None: ...

class CreateCollectionResponse(_message.Message):
    __slots__ = ("created", "collection")
    CREATED_FIELD_NUMBER: _ClassVar[int]
    COLLECTION_FIELD_NUMBER: _ClassVar[int]
    created: bool
    collection: CollectionInfo
    def __init__(self, created: bool = ..., collection: _Optional[_Union[CollectionInfo, _Mapping]] = ...) -> None: ...

class ListCollectionsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListCollectionsResponse(_message.Message):
    __slots__ = ("collections",)
    COLLECTIONS_FIELD_NUMBER: _ClassVar[int]
    collections: _containers.RepeatedCompositeFieldContainer[CollectionInfo]
    def __init__(self, collections: _Optional[_Iterable[_Union[CollectionInfo, _Mapping]]] = ...) -> None: ...

class DescribeCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class UpdateCollectionRequest(_message.Message):
    __slots__ = ("name", "ef_search", "default_ttl_us")
    NAME_FIELD_NUMBER: _ClassVar[int]
    EF_SEARCH_FIELD_NUMBER: _ClassVar[int]
    DEFAULT_TTL_US_FIELD_NUMBER: _ClassVar[int]
    name: str
    ef_search: int
    default_ttl_us: int
    def __init__(self, name: _Optional[str] = ..., ef_search: _Optional[int] = ..., default_ttl_us: _Optional[int] = ...) -> None: ...

class RenameCollectionRequest(_message.Message):
    __slots__ = ("name", "new_name")
    NAME_FIELD_NUMBER: _ClassVar[int]
    NEW_NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    new_name: str
    def __init__(self, name: _Optional[str] = ..., new_name: _Optional[str] = ...) -> None: ...

class SetAliasRequest(_message.Message):
    __slots__ = ("alias", "name")
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    alias: str
    name: str
    def __init__(self, alias: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class RemoveAliasRequest(_message.Message):
    __slots__ = ("alias",)
    ALIAS_FIELD_NUMBER: _ClassVar[int]
    alias: str
    def __init__(self, alias: _Optional[str] = ...) -> None: ...

class RemoveAliasResponse(_message.Message):
    __slots__ = ("existed",)
    EXISTED_FIELD_NUMBER: _ClassVar[int]
    existed: bool
    def __init__(self, existed: bool = ...) -> None: ...

class MoveCollectionRequest(_message.Message):
    __slots__ = ("name", "cold_tier")
    NAME_FIELD_NUMBER: _ClassVar[int]
    COLD_TIER_FIELD_NUMBER: _ClassVar[int]
    name: str
    cold_tier: str
    def __init__(self, name: _Optional[str] = ..., cold_tier: _Optional[str] = ...) -> None: ...

class MoveCollectionResponse(_message.Message):
    __slots__ = ("documents", "copied", "compared", "duration_ms")
    DOCUMENTS_FIELD_NUMBER: _ClassVar[int]
    COPIED_FIELD_NUMBER: _ClassVar[int]
    COMPARED_FIELD_NUMBER: _ClassVar[int]
    DURATION_MS_FIELD_NUMBER: _ClassVar[int]
    documents: int
    copied: int
    compared: int
    duration_ms: float
    def __init__(self, documents: _Optional[int] = ..., copied: _Optional[int] = ..., compared: _Optional[int] = ..., duration_ms: _Optional[float] = ...) -> None: ...

class DropCollectionRequest(_message.Message):
    __slots__ = ("name",)
    NAME_FIELD_NUMBER: _ClassVar[int]
    name: str
    def __init__(self, name: _Optional[str] = ...) -> None: ...

class DropCollectionResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...
