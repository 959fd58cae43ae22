# What a contributor runs; `just` alone lists it.

python := ".venv/bin/python"

default:
    @just --list

# Style, types and floors
lint:
    {{ python }} -m ruff format --check .
    {{ python }} -m ruff check .
    {{ python }} -m mypy
    .venv/bin/lint-imports --no-cache

# All tests, the slow ones included
test:
    {{ python }} -m pytest -n auto

# Everything a commit must pass
check: lint test

# The documentation as a site, in build/site
docs:
    .venv/bin/mkdocs build --strict

# Write the help pages, llms.txt and the man page anew after a command has changed
help-pages:
    {{ python }} -m tests.cli.help_pages
