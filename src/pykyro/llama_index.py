"""KyroDB as a vector store of LlamaIndex, by the extra `pykyro[llama-index]`.

from pykyro.llama_index import KyroVectorStore

store = KyroVectorStore(path="./data")              # in this process
store = KyroVectorStore(url="localhost:50051")      # at a server
index = VectorStoreIndex.from_vector_store(store)
"""

from pykyro.integrations.extras import needs_extra

with needs_extra("llama-index", "llama_index"):
    from pykyro.integrations.llama_index.vector_store import KyroVectorStore

__all__ = ["KyroVectorStore"]
