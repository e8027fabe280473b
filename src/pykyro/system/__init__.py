"""Services of the operating system and the interpreter: clock, threads, signals, descriptors, other processes."""
