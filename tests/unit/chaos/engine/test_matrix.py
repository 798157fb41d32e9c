"""The fault matrix has every row, and says who drills it or why nobody does."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.errors import OperatorError
from chaos.apart_commands import DRILLS as APART
from chaos.engine.matrix import MATRIX, covered, load_matrix
from chaos.engine.spec import load_drills

ROOT = Path(__file__).parents[4]
ROWS = covered(load_matrix(), load_drills().values())


def test_every_row_is_drilled_or_says_why_not_and_never_both():
    assert [one.row.row for one in ROWS] == list(range(1, 51))
    for one in ROWS:
        assert one.drilled != bool(one.row.reason), one.row.row


def test_at_least_46_rows_are_drilled():
    assert sum(one.drilled for one in ROWS) >= 46


def test_the_drills_apart_that_are_named_exist():
    assert {name for one in ROWS for name in one.row.apart} <= APART.keys()


@pytest.mark.parametrize("name", [test for one in ROWS for test in one.row.tests])
def test_the_tests_that_are_named_exist(name):
    path, _, test = name.partition("::")
    assert f"def {test}(" in (ROOT / path).read_text()


def test_a_matrix_that_lacks_a_row_is_refused(tmp_path):
    text = MATRIX.read_text()
    (tmp_path / "matrix.toml").write_text(text.replace("row = 7\n", "row = 8\n", 1))
    with pytest.raises(OperatorError, match="each row from 1 to 50 once"):
        load_matrix(tmp_path / "matrix.toml")
