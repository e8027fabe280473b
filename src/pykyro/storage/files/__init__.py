"""The file system seam, and small questions to the disk."""
