"""Runbooks: each operation has one page, and what a page tells to type exists."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer

from app.cli import build

RUNBOOKS = Path(__file__).parents[2] / "docs" / "runbooks"
PAGES = sorted(RUNBOOKS.glob("*.md"))
OPERATIONS = {"status", "evacuate", "restore", "rebuild"}
ROOT = typer.main.get_command(build())


def commands():
    for page in PAGES:
        for block in re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL):
            for line in block.splitlines():
                yield pytest.param(shlex.split(line, comments=True), id=f"{page.stem}: {line}")


def mentioned():
    for page in PAGES:
        for text in re.findall(r"`stepdown ([^`]*)`", page.read_text()):
            yield pytest.param(["stepdown", *shlex.split(text)], id=f"{page.stem}: {text}")


def test_each_operation_has_a_page_and_each_page_an_operation():
    # Terraform is no command of ours; its page's commands are not of a shell that we check.
    assert {page.stem for page in PAGES} == OPERATIONS | {"terraform"}
    assert set(ROOT.commands["regions"].commands) == OPERATIONS


@pytest.mark.parametrize("words", [*commands(), *mentioned()])
def test_what_a_runbook_tells_to_type_exists(words):
    assert words.pop(0) == "stepdown"
    command = ROOT
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]
    assert command is not ROOT
    # Parses arguments and options without running anything; an unknown one raises.
    command.make_context("stepdown", words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_each_page_says_when_what_and_what_if_it_fails_and_its_links_lead_somewhere(page):
    text = page.read_text()
    for heading in ("**When.**", "**Command**", "**What you see**", "**If it fails**"):
        assert heading in text
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert (page.parent / link).exists()
    assert len(text.splitlines()) <= 60
