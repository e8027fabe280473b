"""gRPC over h2corn: an HTTP/2 server in Rust carries the frames, this package the rules of gRPC."""
