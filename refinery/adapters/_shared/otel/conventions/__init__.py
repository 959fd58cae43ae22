"""Attribute conventions, one a file: `read(facts)` fills in what its attributes say."""
