"""A command writes its own part of a page and nothing else."""

from __future__ import annotations

import pytest

from app.errors import OperatorError
from app.marked_section import read_section, write_section

PAGE = "# Title\n\n<!-- prices: begin -->\nold\n<!-- prices: end -->\n\nBelow.\n"


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "README.md"
    path.write_text(PAGE)
    return path


def test_what_was_written_is_what_is_read(page):
    assert read_section(page, "prices") == "old"
    assert write_section(page, "prices", "| a |\n| b |\n")
    assert read_section(page, "prices") == "| a |\n| b |"


def test_everything_around_the_section_stays(page):
    write_section(page, "prices", "new")
    assert page.read_text() == PAGE.replace("old", "new")
    assert list(page.parent.iterdir()) == [page]


def test_the_same_again_changes_nothing(page):
    assert not write_section(page, "prices", "old")
    assert page.read_text() == PAGE


def test_sections_of_other_names_are_not_touched(page):
    page.write_text(PAGE + PAGE.replace("prices", "bench"))
    write_section(page, "bench", "new")
    assert (read_section(page, "prices"), read_section(page, "bench")) == ("old", "new")


@pytest.mark.parametrize(
    "text",
    [
        "no section",
        "<!-- prices: begin -->",
        "<!-- prices: end --><!-- prices: begin -->",
        PAGE + PAGE,
    ],
)
def test_a_page_without_the_two_comments_is_one_sentence_and_stays_as_it_is(page, text):
    page.write_text(text)
    with pytest.raises(OperatorError, match=r"prices: begin.* and .*prices: end"):
        write_section(page, "prices", "new")
    assert page.read_text() == text


def test_a_page_that_is_not_there_is_one_sentence(tmp_path):
    with pytest.raises(OperatorError, match=r"README\.md cannot be read"):
        read_section(tmp_path / "README.md", "prices")
