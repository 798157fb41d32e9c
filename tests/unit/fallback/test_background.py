"""Work in the background: the order it is done in, and what goes when there is no room for it."""

from __future__ import annotations

import pytest

from fallback.background import BackgroundQueue, Dropped, Work

ALONE = {Work.RESCORE: 1, Work.SHADOW: 1}


class Bench:
    """A queue under pressure that is set by hand, with what it dropped."""

    def __init__(self, queue_max=3):
        self.pressed = False
        self.dropped = []
        self.queue = BackgroundQueue(
            pressed=lambda: self.pressed,
            dropped=lambda work, why: self.dropped.append((work, why)),
            queue_max=queue_max,
        )

    def taken(self):
        """Everything that is taken until there is nothing more."""
        return [item for _, items in iter(lambda: self.queue.take(ALONE), None) for item in items]


@pytest.fixture
def bench():
    return Bench()


def test_re_scores_come_before_shadow_work_and_each_kind_in_its_order(bench):
    for work, item in [(Work.SHADOW, "s1"), (Work.RESCORE, "r1"), (Work.RESCORE, "r2")]:
        bench.queue.offer(work, item)
    assert bench.queue.take(ALONE) == (Work.RESCORE, ["r1"])
    assert bench.taken() == ["r2", "s1"]
    assert bench.dropped == []


def test_some_of_one_kind_are_taken_together_and_none_of_another(bench):
    for work, item in [(Work.RESCORE, "r1"), (Work.SHADOW, "s1"), (Work.RESCORE, "r2")]:
        bench.queue.offer(work, item)
    together = {Work.RESCORE: 3, Work.SHADOW: 1}
    assert bench.queue.take(together) == (Work.RESCORE, ["r1", "r2"])
    assert bench.queue.take(together) == (Work.SHADOW, ["s1"])
    assert bench.queue.take(together) is None


def test_a_full_queue_gives_up_shadow_work_for_a_re_score(bench):
    for item in ("s1", "s2", "s3"):
        bench.queue.offer(Work.SHADOW, item)
    bench.queue.offer(Work.RESCORE, "r1")
    assert bench.dropped == [(Work.SHADOW, Dropped.FULL)]
    assert bench.taken() == ["r1", "s1", "s2"]


def test_a_queue_full_of_re_scores_takes_neither_another_nor_shadow_work(bench):
    for item in ("r1", "r2", "r3", "r4"):
        bench.queue.offer(Work.RESCORE, item)
    bench.queue.offer(Work.SHADOW, "s1")
    assert bench.dropped == [(Work.RESCORE, Dropped.FULL), (Work.SHADOW, Dropped.FULL)]
    assert bench.taken() == ["r1", "r2", "r3"]


def test_live_pressure_drops_what_waits_and_takes_nothing_in(bench):
    bench.queue.offer(Work.RESCORE, "r1")
    bench.queue.offer(Work.SHADOW, "s1")
    bench.pressed = True
    bench.queue.offer(Work.RESCORE, "r2")
    assert bench.queue.take(ALONE) is None
    assert sorted(bench.dropped) == [
        (Work.RESCORE, Dropped.PRESSURE),
        (Work.RESCORE, Dropped.PRESSURE),
        (Work.SHADOW, Dropped.PRESSURE),
    ]


def test_after_the_pressure_there_is_room_again(bench):
    bench.pressed = True
    bench.queue.offer(Work.RESCORE, "r1")
    bench.pressed = False
    bench.queue.offer(Work.RESCORE, "r2")
    assert len(bench.queue) == 1
    assert bench.taken() == ["r2"]


def test_a_queue_without_room_for_one_item_is_refused():
    with pytest.raises(ValueError, match="queue_max"):
        Bench(queue_max=0)
