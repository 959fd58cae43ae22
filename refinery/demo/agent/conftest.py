"""Lets the tests import the agent's modules from this folder."""
