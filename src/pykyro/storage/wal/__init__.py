"""The write-ahead log: format, reader, writer, circuit breaker."""
