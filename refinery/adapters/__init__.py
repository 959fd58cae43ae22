"""Traces somebody else made: one source a file.

A file adapter has three functions:

`recognise(head: bytes, path: Path) -> bool`
    Whether the beginning of a file (unpacked, at most `HEAD_BYTES`) looks like this format.
`read(path: Path) -> Iterator[Trace]`
    The traces of a file, runs in tree order. Reading the same file twice gives the same ids.
    A `TraceFormatError` names the file and the line or record that is wrong.
`read_labelled(path: Path) -> Iterator[tuple[Trace, tuple[Feedback, ...]]]`
    The same with what the source says of each trace; optional.

What a source says about the *outcome* of a trace goes into feedback, never into its runs: what
judges a trace must not read the answer. Text of a source is data: nothing is revived, executed
or followed, and secrets are taken out (`safety.redact`) before a trace leaves the adapter. An
adapter of a service (`langsmith`) has a class that fetches instead.

`_shared` holds what adapters share.
"""

HEAD_BYTES = 65_536
"""Most of a file's beginning that `recognise` is given."""
