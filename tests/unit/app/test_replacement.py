"""Who is waited for before a worker ends."""

from __future__ import annotations

from app.replacement import Newcomers


def of_ages(*serving, replaced=0):
    newcomers = Newcomers()
    newcomers.replace(replaced)
    for age in serving:
        newcomers.serves(age)
    return newcomers


def test_nobody_is_waited_for_where_nobody_is_replaced():
    newcomers = of_ages(1, 2)
    assert not newcomers.lack(1, workers=2)
    assert not newcomers.lack(2, workers=2)


def test_others_are_waited_for_until_as_many_serve_as_there_should_be():
    newcomers = of_ages(1, 2, replaced=2)
    assert newcomers.lack(1, workers=2)
    newcomers.serves(3)
    assert newcomers.lack(1, workers=2)
    newcomers.serves(4)
    assert not newcomers.lack(1, workers=2)
    assert not newcomers.lack(2, workers=2)


def test_those_that_replace_others_wait_for_nobody():
    assert not of_ages(1, 2, replaced=2).lack(3, workers=2)


def test_one_that_took_the_place_of_a_crashed_one_replaces_nobody():
    assert not of_ages(1, 2, 7).lack(2, workers=2)


def test_there_may_be_any_number_of_workers_one_after_the_other():
    newcomers = of_ages(*range(1, 5_001))
    assert not newcomers.lack(4_998, workers=2)
    newcomers.replace(5_000)
    assert newcomers.lack(5_000, workers=2)
