"""The calls that most programs make of qdrant_client, on KyroDB:

from pykyro.compat.qdrant import QdrantClient, models           # was: from qdrant_client import QdrantClient, models

client = QdrantClient(path="./data")                           # in this process
client = QdrantClient(host="localhost", port=50051)            # at a server

Models of qdrant_client itself are taken as well.
"""

from pykyro.compat.qdrant import http, models
from pykyro.integrations.qdrant.client import AsyncQdrantClient, QdrantClient

__all__ = ["AsyncQdrantClient", "QdrantClient", "http", "models"]
