"""KyroDB as a document store of Haystack, by the extra `pykyro[haystack]`.

from pykyro.haystack import KyroDocumentStore, KyroEmbeddingRetriever

store = KyroDocumentStore(path="./data", embedding_dim=384)              # in this process
store = KyroDocumentStore(url="localhost:50051", embedding_dim=384)      # at a server
retriever = KyroEmbeddingRetriever(store)
"""

from pykyro.integrations.extras import needs_extra

with needs_extra("haystack", "haystack"):
    from pykyro.integrations.haystack.document_store import KyroDocumentStore
    from pykyro.integrations.haystack.retriever import KyroEmbeddingRetriever
    from pykyro.integrations.haystack.text_retrievers import KyroBM25Retriever, KyroHybridRetriever

__all__ = ["KyroBM25Retriever", "KyroDocumentStore", "KyroEmbeddingRetriever", "KyroHybridRetriever"]
