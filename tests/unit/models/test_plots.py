"""Plots are well-formed pictures that stay inside their frame."""

from xml.etree import ElementTree as ET

import pytest

from app.models.training.plots import HEIGHT, WIDTH, Line, bars, chart

SVG = "{http://www.w3.org/2000/svg}"


def test_points_stand_where_the_axes_say():
    line = Line(name="a < b", points=[(0, 0), (1, 1), (2, 4)], dots=True)
    picture = ET.fromstring(chart([line], x="x", y="y", x_max=2, y_max=4))
    spots = [(float(c.get("cx")), float(c.get("cy"))) for c in picture.iter(f"{SVG}circle")]
    assert len(spots) == 3
    (left, bottom), (middle, _), (right, top) = spots
    assert 0 < left < middle < right < WIDTH
    assert 0 < top < bottom < HEIGHT
    assert middle == pytest.approx((left + right) / 2, abs=0.1)
    assert "a < b" in {text.text for text in picture.iter(f"{SVG}text")}


def test_bars_are_as_long_as_their_values_are_large():
    picture = ET.fromstring(bars([("one", 2.0), ("two", 1.0)]))
    longer, shorter = (float(bar.get("width")) for bar in picture.iter(f"{SVG}rect"))
    assert longer == pytest.approx(2 * shorter)


def test_nothing_to_show_is_an_empty_picture():
    assert not list(ET.fromstring(bars([])).iter(f"{SVG}rect"))
