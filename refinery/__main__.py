"""Runs the command line: `python -m refinery`."""

from refinery.cli.main import main

main()
