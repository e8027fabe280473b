"""Files: the log, the manifest, immutable segment files, recovery. The only package that touches data_dir."""
