"""The looks of a trial: how small p must be, and how often chance gets through."""

import random

import pytest

from refinery.replay import sequential
from refinery.replay.sequential import ALPHA, Looks, error, first_size, plan
from refinery.replay.statistics import fisher


@pytest.mark.parametrize(("patches", "size"), [(1, 4), (2, 4), (3, 5), (10, 6), (50, 7)])
def test_more_patches_need_longer_arms(patches: int, size: int) -> None:
    assert first_size(patches) == size


@pytest.mark.parametrize("patches", [1, 2, 3, 5, 20])
@pytest.mark.parametrize("cases", [1, 3, 5])
def test_the_error_over_all_looks_is_at_most_the_share_of_the_patch(
    patches: int, cases: int
) -> None:
    looks = plan(patches, cases, 40)

    assert looks.alpha == ALPHA / patches
    assert error(looks.sizes, looks.level) <= looks.alpha
    assert all(size % cases == 0 for size in looks.sizes)
    assert list(looks.sizes) == sorted(set(looks.sizes))


@pytest.mark.parametrize("patches", [1, 2, 3, 5, 20])
def test_separated_arms_are_told_apart_at_the_first_look(patches: int) -> None:
    looks = plan(patches, 1, 40)
    first = looks.sizes[0]

    p_value = fisher((first, first), (0, first))

    assert p_value is not None
    assert p_value <= looks.level


def test_looking_at_every_replay_with_an_uncorrected_level_would_let_chance_through() -> None:
    every = tuple(range(4, 41))

    assert error(every, ALPHA) > 0.09


def told_apart(looks: Looks, rates: tuple[float, float], chance: random.Random) -> bool:
    patched = base = done = 0
    for size in looks.sizes:
        patched += sum(chance.random() < rates[0] for _ in range(size - done))
        base += sum(chance.random() < rates[1] for _ in range(size - done))
        done = size
        p_value = fisher((patched, size), (base, size))
        if p_value is not None and p_value <= looks.level:
            return True
    return False


def test_a_thousand_simulated_no_ops_and_fixes() -> None:
    chance, looks = random.Random(7), plan(1, 1, 40)

    no_ops = sum(told_apart(looks, (0.5, 0.5), chance) for _ in range(1000))
    fixes = sum(told_apart(looks, (1.0, 0.5), chance) for _ in range(200))

    assert no_ops <= 60
    assert fixes >= 190


def test_arms_of_unequal_chances_are_told_apart_no_more_often() -> None:
    chance, looks = random.Random(3), plan(1, 2, 32)
    hits = 0
    for _ in range(600):
        counts, done = [0, 0], 0
        for size in looks.sizes:
            for arm in (0, 1):
                for rate in (0.2, 0.8):
                    counts[arm] += sum(chance.random() < rate for _ in range((size - done) // 2))
            done = size
            p_value = fisher((counts[0], size), (counts[1], size))
            if p_value is not None and p_value <= looks.level:
                hits += 1
                break

    assert hits <= 0.06 * 600


def test_the_level_of_one_look_is_fishers_own() -> None:
    assert sequential.level((4,), ALPHA) == ALPHA
