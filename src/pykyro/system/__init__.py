"""What the operating system and the interpreter ask of us: clock, threads, signals, descriptors, other processes."""
