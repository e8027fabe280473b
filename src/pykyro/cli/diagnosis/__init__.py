"""What `kyrodb doctor` looks at. Nothing here changes anything: no file, no lock, no port stays taken."""
