"""Names of other databases' packages, so that a program moves by the line that imports them."""
