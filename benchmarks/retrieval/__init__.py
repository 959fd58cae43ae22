"""The labelled questions of `benchmarks.retrieval_quality`."""
