"""Bytes to typed requests and back, status codes, streams, TLS. Nothing else."""
