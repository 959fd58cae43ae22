"""No recording: what the measuring itself costs."""

import sys

from benchmarks.recording.workload import burst, report


def main() -> None:
    """Measure an empty call."""
    if "burst" in sys.argv:
        burst(lambda inputs, outputs: None)
    else:
        report(lambda inputs, outputs: None, lambda: None)


if __name__ == "__main__":
    main()
