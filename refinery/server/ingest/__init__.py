"""What takes traces in: one protocol a file, each with its `ROUTES`."""
