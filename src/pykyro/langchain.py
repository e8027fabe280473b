"""KyroDB as a vector store of LangChain, by the extra `pykyro[langchain]`.

from pykyro.langchain import KyroVectorStore

store = KyroVectorStore(embeddings, path="./data")              # in this process
store = KyroVectorStore(embeddings, url="localhost:50051")      # at a server
"""

from pykyro.integrations.extras import needs_extra

with needs_extra("langchain", "langchain_core"):
    from pykyro.integrations.langchain.answers import KyroCache
    from pykyro.integrations.langchain.records import KyroRecordManager
    from pykyro.integrations.langchain.vector_store import KyroVectorStore

__all__ = ["KyroCache", "KyroRecordManager", "KyroVectorStore"]
