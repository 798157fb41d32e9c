"""Who is waited for before a worker ends."""

from __future__ import annotations

from app.replacement import Newcomers


def of_ages(made, *serving):
    newcomers = Newcomers()
    newcomers.made(made)
    for age in serving:
        newcomers.serves(age)
    return newcomers


def test_nobody_is_waited_for_where_no_others_were_made():
    newcomers = of_ages(2, 1, 2)
    assert not newcomers.lack(1, workers=2)
    assert not newcomers.lack(2, workers=2)


def test_others_that_were_made_are_waited_for_until_as_many_serve_as_there_should_be():
    newcomers = of_ages(4, 1, 2)
    assert newcomers.lack(1, workers=2)
    newcomers.serves(3)
    assert newcomers.lack(1, workers=2)
    newcomers.serves(4)
    assert not newcomers.lack(1, workers=2)
    assert not newcomers.lack(2, workers=2)


def test_one_that_took_the_place_of_another_replaces_nobody_else():
    assert not of_ages(3, 1, 2, 3).lack(2, workers=2)


def test_there_may_be_any_number_of_workers_one_after_the_other():
    newcomers = of_ages(5_000, *range(1, 5_001))
    assert not newcomers.lack(4_998, workers=2)
    newcomers.made(5_002)
    assert newcomers.lack(5_000, workers=2)
