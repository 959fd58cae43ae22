"""What runs cost: figures, error patterns, critical paths, variants, thresholds, benchmarks.

Everything here reads the DuckDB copy that a store keeps (`ports.Analysing`), never the store
itself, and needs the extra `analytics`. A difference is only called one when a test or an
interval shows it; otherwise the answer is "no difference shown".
"""

from refinery.performance.benchmark import BenchmarkFixture
from refinery.performance.scenarios import SCENARIOS, Scenario

__all__ = ["SCENARIOS", "BenchmarkFixture", "Scenario"]
