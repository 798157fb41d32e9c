"""Environments of others: what is measured beside the project, and is no dependency of it."""

from __future__ import annotations

import hashlib
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

from app.errors import OperatorError

__all__ = ["REQUIREMENTS", "ensure_environment", "last_line"]

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
INSTALL_S_MAX = 900


def ensure_environment(folder: Path, what: str, report: Callable[[str], None], lock: Path) -> Path:
    """Make an environment, once for each content of its lock.

    Args:
        folder: of the environment.
        what: is in it, in words.
        report: told what is being done.
        lock: hashed requirements.

    Returns:
        Its interpreter.

    Raises:
        OperatorError: it cannot be made.
    """
    folder = folder.absolute()  # its interpreter is run from other folders
    python, ready = folder / "bin" / "python", folder / ".ready"
    content = hashlib.sha256(lock.read_bytes()).hexdigest()
    if ready.exists() and ready.read_text() == content:
        return python
    report(f"setting up {what} (about 300 MB)")
    try:
        venv.create(folder, clear=True, with_pip=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise OperatorError(
            f"no environment for {what} can be made in {folder}: {error}."
        ) from None
    words = ["-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
    done = subprocess.run(  # noqa: S603 - pip of an environment that we made
        [python, *words, "-r", lock],
        capture_output=True,
        text=True,
        timeout=INSTALL_S_MAX,
        check=False,
    )
    if done.returncode:
        raise OperatorError(
            f"{what} cannot be installed from {lock.name}: {last_line(done.stderr)}"
        )
    ready.write_text(content)
    return python


def last_line(text: str) -> str:
    """The last thing that was said, as the end of a sentence."""
    lines = text.strip().splitlines()
    return (lines[-1] if lines else "it said nothing").rstrip(".") + "."
