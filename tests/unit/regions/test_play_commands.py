"""Options of `play` that contradict each other are refused before anything is read."""

import pytest
from typer import Typer
from typer.testing import CliRunner

from app.errors import OperatorError
from regions.play_commands import play

DAYS = ("--data", "nowhere", "--from", "2020-01-02", "--to", "2020-01-02")
WARM = ("--warm-from", "2020-01-01")
API = ("--api", "http://127.0.0.1:1")


@pytest.fixture
def refusal(monkeypatch, tmp_path):
    """What is said of a command line, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("STEPDOWN_API_KEY", raising=False)
    app = Typer()
    app.command()(play)

    def say(*words):
        done = CliRunner().invoke(app, [*DAYS, *words])
        assert isinstance(done.exception, OperatorError)
        return str(done.exception)

    return say


@pytest.mark.parametrize(
    ("words", "problem"),
    [
        ((), "--warm-from is missing"),
        ((*WARM, "--lockstep", "--rung", "batch"), "no rung but full reads"),
        ((*WARM, "--key-file", "key"), "name it with --api"),
        ((*API, "--lockstep"), "--lockstep is of a region that play starts itself"),
        ((*API, "--rung", "full"), "--rung is of a region that play starts itself"),
        ((*API, "--deadline-ms", "90"), "--deadline-ms is of a region that play starts itself"),
        (API, "set STEPDOWN_API_KEY"),
        ((*API, "--key-file", "nowhere"), "nowhere cannot be read"),
    ],
)
def test_options_that_contradict_each_other_are_refused(refusal, words, problem):
    assert problem in refusal(*words)


def test_a_home_without_a_model_is_said(refusal):
    assert "nothing is published" in refusal(*WARM)
