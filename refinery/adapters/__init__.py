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
or followed, and secrets are taken out (`safety.redact`) before a trace leaves the adapter.

An adapter of a service, which may read files as well, has two functions and a class:

`connect(url: str | None, reference: str | None) -> ports.TraceService`
    The service at an address, else the one the vendor's own environment variables name, else the
    one the reference is at, if it is one of the vendor's hosts. Keys come from the vendor's own
    variables and go to that address only; redirects to others are refused.
`owns(reference: str) -> bool`
    Whether an address is known to be one of this service; picks the adapter when none is named.
class with `fetch_trace`, `fetch_traces`, `close`; a context manager
    As in `ports.TraceService`; constructed from an explicit `_shared.http.Address`.

Ids are made of the source's ids alone (`_shared.remote`), the same from files and from the
service, and the same as OTLP gives where the source keeps OpenTelemetry's ids, so that a trace
that arrives twice is stored once. `langsmith` came before this and has its own class.

`_shared` holds what adapters share.
"""

HEAD_BYTES = 65_536
"""Most of a file's beginning that `recognise` is given."""
