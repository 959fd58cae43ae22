"""What several detectors need: views of a trace, documents, values, patterns, samples."""
