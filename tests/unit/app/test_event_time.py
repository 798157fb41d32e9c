"""What now is: the wall's time live, each event's own in a replay."""

from msgspec import UNSET

from app.event_time import ReplayTime, WallTime, instant_ms, wall_ms

SAID = "2018-08-08T00:00:01.234Z"
SAID_MS = 1_533_686_401_234
WALL_MS = 1_800_000_000_000


def replay():
    return ReplayTime(wall=lambda: WALL_MS)


def test_an_instant_is_read_to_the_millisecond_in_any_zone():
    assert instant_ms(SAID) == SAID_MS
    assert instant_ms("2018-08-08t02:00:01.234+02:00") == SAID_MS


def test_live_a_caller_cannot_choose_the_time():
    before_ms = wall_ms()
    assert before_ms <= WallTime().received_ms(SAID) <= wall_ms()


def test_live_counters_are_read_as_of_when_they_are_read():
    assert WallTime().as_of_ms(SAID_MS) is None


def test_in_a_replay_an_event_happens_when_it_says():
    assert replay().received_ms(SAID) == SAID_MS


def test_in_a_replay_counters_are_read_as_of_the_event():
    assert replay().as_of_ms(SAID_MS) == SAID_MS


def test_in_a_replay_what_says_nothing_happens_with_the_newest_event():
    time = replay()
    time.received_ms(SAID)
    time.received_ms("2018-08-07T00:00:00Z")
    assert time.received_ms(UNSET) == time.received_ms(None) == SAID_MS


def test_a_replay_that_has_heard_nothing_takes_the_wall_clock():
    assert replay().received_ms(None) == WALL_MS


def test_ages_and_names_in_a_replay_are_of_the_wall_clock():
    time = replay()
    time.received_ms(SAID)
    assert time.now_ms() == WALL_MS


def test_the_pace_of_a_replay_never_goes_back():
    time = replay()
    time.received_ms(SAID)
    first_s = time.monotonic()
    time.received_ms("2018-08-07T00:00:00Z")
    assert time.monotonic() == first_s == SAID_MS / 1_000
