"""The command line: thin commands over `refinery.workflows`."""
