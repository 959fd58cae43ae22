"""What hands traces out: one API a file, each with its `router`."""
