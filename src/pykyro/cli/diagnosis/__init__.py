"""The checks of `kyrodb doctor`. Nothing here changes anything: no file, no lock, no port stays taken."""
