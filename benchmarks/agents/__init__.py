"""Agents with a seeded fault each, and the scripted model they talk to.

A folder holds `fixture.json` (inputs, checks, where the fault is), `model.json` (what the model
knows) and `repo/`, which is copied out and never imported. See `benchmarks.fixture_fixes`.
"""
