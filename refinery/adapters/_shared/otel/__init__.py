"""OpenTelemetry spans and logs become runs, whichever convention their attributes follow.

`spans` holds the plain span every source is turned into, `protobuf` and `documents` read the two
encodings of OTLP, `kinds` says what sort of work a span did, `mapping.run_of_span` makes the run
of it, and `conventions` holds one file an attribute convention.
"""
