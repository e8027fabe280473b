"""The gRPC port: the RPCs of the wire contract."""
