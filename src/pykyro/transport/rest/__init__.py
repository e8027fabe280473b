"""REST on the HTTP port: the RPCs of the gRPC port, spelt in JSON."""
