"""The calls that most programs make of chromadb, on KyroDB:

import pykyro.compat.chroma as chromadb                        # was: import chromadb

client = chromadb.PersistentClient("./data")                   # in this process
client = chromadb.HttpClient("localhost", 50051)               # at a server
"""

from pykyro.compat.chroma import config, errors
from pykyro.integrations.chroma.client import (
    AsyncHttpClient,
    Client,
    ClientAPI,
    CloudClient,
    EphemeralClient,
    HttpClient,
    PersistentClient,
)
from pykyro.integrations.chroma.collection import Collection
from pykyro.integrations.chroma.embedding import Documents, EmbeddingFunction, Embeddings
from pykyro.integrations.chroma.settings import Settings
from pykyro.version import __version__

__all__ = [
    "AsyncHttpClient",
    "Client",
    "ClientAPI",
    "CloudClient",
    "Collection",
    "Documents",
    "EmbeddingFunction",
    "Embeddings",
    "EphemeralClient",
    "HttpClient",
    "PersistentClient",
    "Settings",
    "__version__",
    "config",
    "errors",
]
