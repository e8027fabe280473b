"""Clients of a server: `Client` and `AsyncClient`, one shape.

Reads top down: `sync_client` and `async_client`, `calls` (the RPCs of each method, shared by both), `encode` and
`decode` (bytes), `channel` (how to connect), `retry`, `status` (from a status to an error).
"""
