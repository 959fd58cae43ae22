"""A small broken agent to try Refinery on, and the scripted model it talks to.

`agent/` is copied out, never imported: a support agent whose retrieval puts an outdated price list
first. `model` serves the OpenAI chat API on loopback and lets `reader` answer each request from
what the request holds; neither knows what the agent's documents say. `story` runs the whole loop.
Only `cli/commands/demo.py` uses this package, and nothing below the command line knows of it.
"""
