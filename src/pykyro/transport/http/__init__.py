"""The HTTP port: health, readiness, metrics, usage, the dashboard."""
