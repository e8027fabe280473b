"""Work in the background: sealing, merging, building graphs."""
