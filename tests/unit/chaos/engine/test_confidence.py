"""The exact bound, against values that others have published."""

from __future__ import annotations

import pytest

from chaos.engine.confidence import availability_lower


@pytest.mark.parametrize(("requests", "failed"), [(29_956, 0), (47_437, 1), (62_956, 2)])
def test_so_many_requests_prove_four_nines_and_one_less_does_not(requests, failed):
    assert availability_lower(requests, failed) >= 0.9999
    assert availability_lower(requests - 1, failed) < 0.9999


@pytest.mark.parametrize(
    ("requests", "failed", "bound"),
    # R: 1 - binom.test(k, n, alternative = "less")$conf.int[2]
    [(10, 0, 0.741134), (10, 1, 0.606), (100, 5, 0.897484), (20, 20, 0.0), (0, 0, 0.0)],
)
def test_it_is_the_bound_of_clopper_and_pearson(requests, failed, bound):
    assert availability_lower(requests, failed) == pytest.approx(bound, abs=5e-4)


def test_hundreds_of_failures_among_many_requests_are_no_trouble():
    assert 0.98 < availability_lower(50_000, 800) < 0.984


def test_more_failures_than_requests_cannot_be():
    with pytest.raises(ValueError, match="3 of 2"):
        availability_lower(2, 3)
