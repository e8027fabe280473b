"""What operators watch: counters, latencies, health, objectives, logs."""
