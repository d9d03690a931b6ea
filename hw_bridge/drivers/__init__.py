"""One driver for each kind of control unit."""
