"""Every bound in one place, with its unit last in the name; relations between bounds are asserted below."""

from typing import Final

# --- vectors and requests -------------------------------------------------------------------------
DIMENSION_MAX: Final = 4096
"""Components of a vector a request may carry."""
DOC_ID_MIN: Final = 1
DOC_ID_MAX: Final = 2**64 - 1
TEXT_ID_BYTES_MAX: Final = 512
PAGE_DOCUMENTS_MAX: Final = 10_000
"""Documents of one page of a listing."""
PAGE_BYTES_MAX: Final = 16 << 20
"""A page ends sooner when its documents are so large together; it has one at least."""
ORDER_BYTES_MAX: Final = 4 << 20
"""Of the values by which a page is ordered, in one run of one tier; a page whose values are larger has fewer."""
FACETS_MAX: Final = 10_000
"""Values in one answer of facets."""
FACETS_BYTES_MAX: Final = 4 << 20
"""Of these values together."""
K_MAX: Final = 1000
EF_SEARCH_MAX: Final = 10_000

METADATA_ENTRIES_MAX: Final = 1024
METADATA_KEY_BYTES_MAX: Final = 1024
METADATA_BYTES_MAX: Final = 1 << 20
"""All keys and values of one document, in UTF-8."""
NAMESPACE_BYTES_MAX: Final = 1024
VALUE_DEPTH_MAX: Final = 16
"""Lists and dicts within one another, in one value."""
VALUE_ELEMENTS_MAX: Final = 4096
"""Elements of lists and entries of dicts of one document, in all levels: the metadata index has a place for each."""
FILTER_DEPTH_MAX: Final = 32
FILTER_NODES_MAX: Final = 4096
"""Filters and listed values of one request, counted together."""
OPERAND_INTEGER_DIGITS_MAX: Final = 4000
"""Of an integer in a filter, which may have more than 64 bits."""
FILTER_COST_US_MAX: Final = 2_000_000
"""Of one processor, for what one filter makes the metadata indices do, in all tiers together."""
WORD_KEYS_MAX: Final = 16
"""Metadata keys whose text is searched by words."""
WORD_CHARS_MAX: Final = 128
"""Of a longer word these first count: it is the same word as others that begin so."""
QUERY_TEXT_BYTES_MAX: Final = 1 << 20
HIGHLIGHT_CHARS_MAX: Final = 1 << 20
"""Of the texts of one answer, that are looked through for words to highlight."""
HIGHLIGHTS_MAX: Final = 100
QUERY_WORDS_MAX: Final = 4096
FUSE_DEPTH_MAX: Final = 10_000
"""Best documents of each leg that fusion looks at."""
GROUP_SIZE_MAX: Final = 100
"""Best documents of one value of a key."""
GROUPED_HITS_MAX: Final = 1000
"""Documents of all groups of one answer."""
GROUP_DEPTH_MAX: Final = 10_000
"""Best documents that one search for groups looks at."""
MMR_CANDIDATES_MAX: Final = 1000
"""Best documents that maximal marginal relevance chooses from."""

# --- tenants --------------------------------------------------------------------------------------
TENANT_INDEX_MIN: Final = 1
"""Numbers given to tenants start here; the existing KyroDB started at 0, and its numbers are taken over."""
TENANT_INDEX_MAX: Final = 2**32 - 1
TENANT_ID_CHARS_MAX: Final = 256
API_KEY_SECRET_CHARS_MIN: Final = 32
API_KEY_CHARS_MIN: Final = 39
"""kyro_, a tenant of one character, an underscore, a secret."""
KEY_FILE_BYTES_MAX: Final = 64 << 20
MAX_QPS_MAX: Final = 2**32 - 1
RATE_PEERS_MAX: Final = 10_000
"""Peer addresses whose rate is remembered."""
USAGE_FILE_BYTES_MAX: Final = 256 << 20

# --- calls and streams ----------------------------------------------------------------------------
MESSAGE_BYTES_MAX: Final = 4 << 20
STREAM_MESSAGES_MAX: Final = 10_000
"""Messages of a BulkInsert or BulkSearch stream, ids of a BulkQuery or BatchDelete."""
ANSWER_BYTES_MAX: Final = 256 << 20
"""One answer. Clients refuse what is larger than 4 MiB unless they were told otherwise."""
ANSWER_SHARE_MAX: Final = 1 / 8
"""Of the memory budget, for one answer."""
UNREAD_ANSWERS_BYTES_MAX: Final = 64 << 20
"""Answers that have not left on one connection; while there are more, its calls are refused."""
UNREAD_SHARE_MAX: Final = 1 / 16
"""Of the memory budget, for the same."""
UNREAD_S_MAX: Final = 10.0
"""When no answer has left a connection for so long, and its client has taken nothing, it is closed."""
UNREAD_SHORT_S_MAX: Final = 3.0
"""The same while memory is short."""
REFUSAL_TEXT_BYTES_MAX: Final = 1 << 20
"""Of the reasons in one answer to a stream of documents; those beyond are named without."""
BULK_LOAD_DOCUMENTS_MAX: Final = 10_000_000
BULK_LOAD_BATCH: Final = 10_000

SEARCH_BATCH: Final = 64
"""Searches one worker takes at once."""
LONG_SEARCH_US: Final = 10_000
"""Of a processor; searches that take longer have a thread of their own."""
LONG_SEARCH_BATCH: Final = 4
LOOKUP_BATCH: Final = 256
WAITING_LOOKUPS_MAX: Final = 10_000
COMMIT_BYTES_MAX: Final = 16 << 20
"""Bytes of the documents of one group commit, exceeded by one request at most."""
ENTRY_BYTES: Final = 400
"""Counted for each entry of metadata beside its text: what it takes once it is decoded, and indexed under a key that
no other document has."""
WAITING_WRITES_MAX: Final = 10_000
HANDED_WRITES_MAX: Final = 1024
"""Documents of writes that the engine has at once; the others wait where clients are served by turns."""
STREAM_GROUP_DOCUMENTS_MAX: Final = 512
"""Documents a stream gathers before they are committed as one group."""
STREAM_LINGER_S: Final = 0.01
"""Longest a document of a stream waits for others, unless a group of the stream is being committed."""
STREAM_GROUP_BYTES_MAX: Final = 8 << 20
"""Bytes of the documents that a stream gathers, unless a single one is larger."""
STREAM_SEARCHES_MAX: Final = 128
"""In-flight searches of one stream."""
STREAM_AHEAD_BYTES_MAX: Final = 8 << 20
"""Of the answers that one stream may have waiting for its client, unless a single one is larger."""
STREAMS_MAX: Final = 1000
"""Streams of messages from clients that are open at once."""
STREAM_SILENT_S: Final = 10.0
"""When there are so many, one that has been silent for so long makes room for another."""
STOPPING_STREAM_SILENT_S: Final = 2.0
"""While the server stops, a stream on which nothing happens for so long is ended."""
STANDING_STREAMS_MAX: Final = 1000
"""Streams of Health.Watch and of reflection, which need no key."""
STANDING_STREAMS_OF_CONNECTION_MAX: Final = 16
HEADERS_BYTES_MAX: Final = 8 << 10
"""Metadata of one call, as they are after references to earlier ones are resolved."""
HEADERS_COUNT_MAX: Final = 128
"""Of one call."""
HEADER_TABLE_BYTES_MAX: Final = 4096
"""What a connection remembers of headers, each way (HPACK)."""
RECEIVED_OF_STREAM_BYTES_MAX: Final = 256 << 10
"""What a client may have sent on one stream that nobody has read yet (flow control of HTTP/2), with h2corn."""
RECEIVED_OF_CONNECTION_BYTES_MAX: Final = 1 << 20
"""The same of all streams of a connection."""
CALLS_MAX: Final = 20_000
"""Calls being served at once; further ones are refused."""
OPEN_CONNECTIONS_MAX: Final = 8192
"""Connections to the ports; fewer when the process may not open twice as many files."""
FILES_OF_THE_SERVER: Final = 64
"""Files it has open before any client connects, with a reserve; it does not start where the process may open
fewer."""
CONNECTION_SILENT_S: Final = 10.0
"""While memory is short, connections that have been silent for so long are shut down."""
MEMORY_SHARE_HIGH: Final = 0.9
"""Of the memory the server may occupy; above it memory is short."""
PENDING_CALLS_MAX: Final = 8192
"""Calls that have come in and that the event loop has not taken up yet, which answers or refuses them by name. Those
beyond, grpcio cancels."""
HANDSHAKE_S_MAX: Final = 20.0
"""Time a connection may take until HTTP/2, and TLS before it, is agreed on."""
HTTP_REQUEST_S_MAX: Final = 10.0
"""Time a connection to the HTTP port may take until a whole request is there."""
HTTP_REQUEST_BYTES_MAX: Final = 64 << 10
"""Line and headers of a request to the HTTP port, and the body where nothing takes one."""
REST_BODY_BYTES_MAX: Final = 16 << 20
"""A body of JSON, or one line of NDJSON: numbers take some four times as much as text."""
REST_ARROW_BYTES_MAX: Final = 64 << 20
"""A body of Arrow."""
REST_BODY_S_MAX: Final = 60.0
"""Time a body of JSON or Arrow may take to come in."""
REST_SILENT_S_MAX: Final = 10.0
"""When nothing of a body has come for so long, or its client has taken nothing of an answer, its connection ends."""
REST_PIECE_BYTES: Final = 64 << 10
"""Larger answers are sent in such pieces."""
REST_REQUESTS_SHARE: Final = 1 / 2
"""Of the connections to the HTTP port, those on which REST may be answered at once: the others are for its other
endpoints."""
REST_ANSWER_BYTES_MAX: Final = 32 << 20
"""Of the message that an answer of JSON is made of, which takes several times as much as text."""
REST_NODES_MAX: Final = 2_000_000
"""Values in one body of JSON: each takes some ten times its text in memory."""
CERTIFICATE_WARNING_S: Final = 14 * 86_400.0
"""The warning about the end of a certificate begins so long before it."""
REQUEST_ID_CHARS_MAX: Final = 64
SLOW_QUERY_LINES_PER_S: Final = 20
STALL_S_MAX: Final = 30.0
"""An event loop that has not moved for so long is broken; a group commit so long is worth a look."""

LOG_QUEUE_LINES_MAX: Final = 20_000
LOG_QUEUE_BYTES_MAX: Final = 8 << 20
"""Log lines that wait to be written; those that come while so many do are dropped and counted."""
LOG_FLUSH_S_MAX: Final = 2.0
"""Time the end of the process gives lines that wait."""
RELOAD_S_MAX: Final = 20.0
"""Time a reload may take to read its files."""

# --- files ----------------------------------------------------------------------------------------
WAL_FRAME_BODY_BYTES_MAX: Final = 64 << 20
"""A group of records that share one frame; a longer length in a header is damage."""
GROUP_FRAMES_BYTES_MAX: Final = 32 << 20
"""Frames that are in memory and written together, exceeded by one frame at most: a small update may come to a large
document. The operations of a group behind them follow in a write of their own."""
FRESHNESS_WAIT_S_MAX: Final = 60.0
"""Longest that a read may wait for a position."""
IDEMPOTENCY_KEY_BYTES_MAX: Final = 128
IDEMPOTENCY_KEYS_MAX: Final = 10_000
"""Of one collection, the latest ones; a write sent again is recognised for as long as its key is among them."""
ATOMIC_DOCUMENTS_MAX: Final = 10_000
"""Documents that are stored all or none."""
MANIFEST_BYTES_MAX: Final = 256 << 20
COLLECTION_NAME_CHARS_MAX: Final = 128
COLLECTIONS_MAX: Final = 100_000
"""Of one database, and as many aliases: the catalogue is rewritten as a whole whenever one is created or dropped."""
CATALOGUE_BYTES_MAX: Final = 256 << 20
COLLECTIONS_OPEN_MAX: Final = 128
"""Collections that are open at once beside `default`, if no more are in use: each takes three descriptors."""
COLLECTION_IDLE_S: Final = 300.0
"""After which a collection that nobody uses is closed."""
WAL_SEGMENTS_RETAINED_MAX: Final = 512
"""Sealed segments of the log that stay for backups; each has its line in MANIFEST, which is rewritten
often, and a backup may hold all of them open at once, where 1024 open files are usual."""
BACKUP_RECORD_BYTES_MAX: Final = 32 << 20
"""The record of a backup: a line for each file and each piece of the log."""
BACKUP_MEMBERS_MAX: Final = 1_000_000
BACKUP_DESCRIPTION_CHARS_MAX: Final = 4096
IMPORT_LINE_BYTES_MAX: Final = 16 << 20
"""A document as a line of JSON; every byte of its metadata may be an escape of six."""
IMPORT_GROUP_ROWS_MAX: Final = 1000
"""Rows of an import that are acknowledged together."""
IMPORT_GROUP_BYTES_MAX: Final = 16 << 20
EXPORT_BATCH_BYTES_MAX: Final = 16 << 20
"""Documents of an export in memory at once, exceeded by one document at most."""
EXPORT_BATCH_ROWS_MAX: Final = 8192
EXPORT_RECORD_BYTES_MAX: Final = 64 << 20
EXPORT_PART_ROWS_MAX: Final = 10_000_000
DISK_FREE_SHARE_LOW: Final = 0.10
"""With less of the disk free than this, the operator is warned."""
DISK_FREE_SHARE_MIN: Final = 0.05
"""With less than this, and less than DISK_FREE_BYTES_ENOUGH, no new documents are taken."""
DISK_FREE_BYTES_ENOUGH: Final = 1 << 30
SECTION_NAME_BYTES_MAX: Final = 64
SECTIONS_MAX: Final = 4096
SEGMENT_ROWS_MAX: Final = 2**31 - 1
"""Row numbers are 32 bits wide in the metadata index."""

# --- tiers ----------------------------------------------------------------------------------------
GRAPH_ROWS_MIN: Final = 1000
"""A smaller segment carries no graph: scanning it exactly is as fast and never wrong."""

# --- caches ---------------------------------------------------------------------------------------
QUERY_CACHE_BYTES_MAX: Final = 256 << 20
"""Vectors, metadata and columns of all entries, whatever number of entries is allowed."""

RECALL_PROCESSOR_SHARE: Final = 0.02
"""Of one processor, spent on watching recall."""
RECALL_EXPECTED: Final = 0.9
"""The default expects more; certainly less is worth a warning."""
RECALL_WARNING_SAMPLES: Final = 30
"""Sampled searches before a warning."""

# --- memory ---------------------------------------------------------------------------------------
MEMORY_LIMIT_SHARE: Final = 0.8
"""Of what the system allows a process: the budget where none is set."""
MEMORY_LIMIT_BYTES_MIN: Final = 128 << 20
"""Below it there is no room for the program and one message each way."""

# --- configuration --------------------------------------------------------------------------------
PORT_MAX: Final = 65_535
ADDRESSES_MAX: Final = 64
"""Servers that one client knows: a leader and its followers."""
HTTP_PORT_OFFSET: Final = 1000
"""The HTTP port is the gRPC port plus this, unless it is set."""
REMOTE_METADATA_BYTES_MAX: Final = 64 << 20
"""Of the documents that a search finds in a cold tier elsewhere."""
COLD_TIER_BACKLOG_BYTES_MIN: Final = 1 << 20
"""Of what waits to be sealed elsewhere."""
COUNT_MAX: Final = 2**64 - 1
"""Largest count or size in bytes a key may state."""
EXPIRES_AT_US_MAX: Final = 2**53 - 1
"""The last instant at which a document can go: in the year 2255. Every one is exact as a float64."""
TTL_US_MAX: Final = 100 * 365 * 86_400 * 1_000_000
"""The longest time to live, a hundred years."""
DURATION_MAX: Final = 2**31 - 1
"""Largest duration a key may state, in the unit of the key: clocks and timers of the system take no more."""
CONNECTIONS_MAX: Final = 2**31 - 1
"""HTTP/2 states it in a signed 32-bit setting."""
HNSW_M_MIN: Final = 5
HNSW_M_MAX: Final = 128
EF_CONSTRUCTION_MAX: Final = 10_000
ADMISSION_BIAS_MAX: Final = 0.5
CONFIG_FILE_BYTES_MAX: Final = 16 << 20
PEM_FILE_BYTES_MAX: Final = 16 << 20
"""Certificates or a key; all authorities the world trusts are a hundredth of it."""
CONFIG_DEPTH_MAX: Final = 6
"""Sections and the values in them; a file nested deeper is no configuration, and aliases could nest for ever."""

assert 6 * METADATA_BYTES_MAX + 32 * DIMENSION_MAX < IMPORT_LINE_BYTES_MAX
assert METADATA_KEY_BYTES_MAX <= METADATA_BYTES_MAX < MESSAGE_BYTES_MAX
assert DIMENSION_MAX * 4 + METADATA_BYTES_MAX < MESSAGE_BYTES_MAX
assert MESSAGE_BYTES_MAX < WAL_FRAME_BODY_BYTES_MAX < 2**32
assert COMMIT_BYTES_MAX + STREAM_GROUP_BYTES_MAX + MESSAGE_BYTES_MAX < GROUP_FRAMES_BYTES_MAX
assert BULK_LOAD_BATCH <= STREAM_MESSAGES_MAX
assert REFUSAL_TEXT_BYTES_MAX + 32 * STREAM_MESSAGES_MAX < MESSAGE_BYTES_MAX
assert COMMIT_BYTES_MAX + STREAM_GROUP_BYTES_MAX + MESSAGE_BYTES_MAX < WAL_FRAME_BODY_BYTES_MAX
assert K_MAX <= EF_SEARCH_MAX
assert K_MAX <= GROUPED_HITS_MAX <= GROUP_DEPTH_MAX <= FUSE_DEPTH_MAX
assert K_MAX <= MMR_CANDIDATES_MAX <= FUSE_DEPTH_MAX
assert DISK_FREE_SHARE_MIN < DISK_FREE_SHARE_LOW
assert COMMIT_BYTES_MAX + STREAM_GROUP_BYTES_MAX < DISK_FREE_BYTES_ENOUGH
assert len("kyro_") + 1 + len("_") + API_KEY_SECRET_CHARS_MIN == API_KEY_CHARS_MIN
assert HNSW_M_MIN < HNSW_M_MAX < EF_CONSTRUCTION_MAX
assert HTTP_PORT_OFFSET < PORT_MAX
assert STREAMS_MAX < OPEN_CONNECTIONS_MAX

ARCHIVE_LAG_MS_MIN: Final = 20
"""Milliseconds; more often than that no store is asked for a commit."""
