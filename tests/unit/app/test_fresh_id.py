"""Ids that the project gives itself."""

from app.api.pan import looks_like_pan
from app.fresh_id import fresh_id


def test_fresh_ids_never_look_like_a_card_number():
    # Of sixteen random hexadecimal digits one in fifty thousand is a card number.
    ids = [fresh_id("att") for _ in range(100_000)]

    assert not any(map(looks_like_pan, ids))
    assert len(set(ids)) == len(ids)
    assert ids[0].startswith("att_")
