"""The Python API behind every command, one verb a file; `wiring` makes the real parts."""
