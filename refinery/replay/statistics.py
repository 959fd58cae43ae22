"""Whether two arms differ."""


def fisher(better: tuple[int, int], base: tuple[int, int]) -> float | None:
    """One-sided p of Fisher's exact test that the first arm passes more often by chance.

    Args:
        better: passed and total of the arm with the patch.
        base: passed and total of the arm without.

    Returns:
        0 to 1; None when an arm is empty.
    """
    if not better[1] or not base[1]:
        return None
    from scipy.stats import fisher_exact

    table = [[better[0], better[1] - better[0]], [base[0], base[1] - base[0]]]
    return float(fisher_exact(table, alternative="greater").pvalue)
