"""Extra tries are a share of the requests, whatever fails."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepdown_client.budget import TokenBucket


def test_a_bucket_starts_full_so_that_an_outage_can_begin_at_once():
    bucket = TokenBucket(share=0.1, burst=3)
    assert [bucket.take() for _ in range(4)] == [True, True, True, False]
    assert (bucket.taken, bucket.refused) == (3, 1)


def test_ten_requests_at_a_tenth_each_are_worth_one_extra_try():
    bucket = TokenBucket(share=0.1, burst=1)
    assert bucket.take()
    for _ in range(9):
        bucket.request()
        assert not bucket.take()
    bucket.request()
    assert bucket.take()


@pytest.mark.parametrize(("share", "burst"), [(-0.1, 1), (1.1, 1), (0.1, -1)])
def test_a_budget_out_of_range_is_none(share, burst):
    with pytest.raises(ValueError, match="share"):
        TokenBucket(share=share, burst=burst)


@given(
    share=st.sampled_from([0, 0.05, 0.1, 0.2, 1]),
    burst=st.integers(0, 20),
    wants=st.lists(st.integers(0, 4), max_size=300),
)
def test_extra_tries_never_exceed_share_and_burst(share, burst, wants):
    bucket = TokenBucket(share=share, burst=burst)
    taken = 0
    for requests, tries in enumerate(wants, start=1):
        bucket.request()
        taken += sum(bucket.take() for _ in range(tries))
        assert taken <= share * requests + burst + 1e-6
    assert taken == bucket.taken


def test_with_the_defaults_amplification_stays_below_1_2_though_every_try_fails():
    hedges, retries = TokenBucket(share=0.05, burst=10), TokenBucket(share=0.1, burst=100)
    requests, extra = 10_000, 0
    for _ in range(requests):
        hedges.request()
        retries.request()
        extra += sum(hedges.take() + retries.take() for _ in range(3))
    assert 1.15 <= 1 + extra / requests <= 1.2
