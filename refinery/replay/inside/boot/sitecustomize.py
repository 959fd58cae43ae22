"""Imported by every Python process of a replayed command before its own code."""

import os

if os.environ.get("REFINERY_REPLAY_JOB"):
    from refinery.replay.inside import booted

    booted.begin(os.environ["REFINERY_REPLAY_JOB"])
