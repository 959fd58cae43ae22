"""The interval that every share is shown with."""

import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from refinery.intervals import wilson


@given(st.integers(1, 10**7).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_it_is_the_one_that_scipy_computes(shares: tuple[int, int]) -> None:
    passed, total = shares
    wanted = binomtest(passed, total).proportion_ci(confidence_level=0.95, method="wilson")

    found = wilson(passed, total)

    assert found == pytest.approx((wanted.low, wanted.high), rel=1e-9, abs=1e-12)
    assert found is not None
    assert 0 <= found[0] <= passed / total <= found[1] <= 1


def test_nothing_of_nothing_has_no_interval() -> None:
    assert wilson(0, 0) is None


def test_a_report_without_a_comparison_imports_no_scipy() -> None:
    code = (
        "import sys; from refinery.intervals import wilson; wilson(3, 5); "
        "import refinery.performance.figures; sys.exit('scipy' in sys.modules)"
    )

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
