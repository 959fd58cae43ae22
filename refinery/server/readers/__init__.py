"""Processes beside the server that read large bodies, and what they say to each other."""
