"""Clients of a server: `Client` and `AsyncClient`, one shape.

Reads top down: `sync_client` and `async_client` (who waits how), `calls` (which RPCs a method makes, shared by
both), `encode` and `decode` (bytes), `channel` (how to connect), `retry`, `status` (what failures mean).
"""
