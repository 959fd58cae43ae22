"""Capture inside the user's process: the standard library suffices, the host never breaks.

Contract of everything in this room:

- No exception of ours reaches the host; what is lost is counted and told at exit in one line.
- The host's thread only takes a snapshot; encoding, redaction and writing happen on one daemon
  thread behind a queue bounded in bytes. A full queue drops, it never waits.
- Importing anything here imports neither LangChain nor any other library outside the standard
  library (`langchain` is the exception: it is imported once LangChain is there).

`switch` turns recording on and off · `langchain` listens to LangChain and LangGraph · `entry` runs
one `module:callable` under recording · `sink` writes the spool · `boot` holds the
`sitecustomize.py` behind `refinery record -- COMMAND`.
Shared by them: `_book` (open runs, ids and order of a trace) · `_snapshot` (values as they are
now) · `_source` (which code a run executed) · `_origin` (repository, commit, entry point) ·
`_chat` (LangChain's messages and model parameters) · `_view` (one line of the spool).

Off switch: `REFINERY_RECORD=0`. Redaction off: `REFINERY_REDACT=0`. Where lines go:
`REFINERY_SPOOL`, else `spool` inside the project's `.refinery` folder.
"""
