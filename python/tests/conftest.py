"""What several tests need."""

import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest

import disentangle

ROOT = Path(__file__).parents[2]
NETWORKS = ROOT / "tests" / "networks"


def needs(name):
    """The module of this name; without it the test that asks is skipped, which continuous integration says at its end."""
    return pytest.importorskip(name, reason=f"{name} is not installed")


def interruptible(command, **options):
    """Starts `command`, which heeds Ctrl-C: what is started in the background ignores it, and so would its children."""
    heeds = lambda: signal.signal(signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, preexec_fn=heeds, **options)


@pytest.fixture
def small():
    """A network that is identified in a moment."""
    return disentangle.generate([4, 4, 2], seed=1)


@pytest.fixture(autouse=True)
def no_surprises():
    """A test that draws numbers draws the same each time."""
    np.random.seed(0)


def pytest_terminal_summary(terminalreporter):
    """Says what could not be had: a skipped test is easily overlooked."""
    reasons = {report.longrepr[2] for report in terminalreporter.stats.get("skipped", [])}
    for reason in sorted(reasons):
        terminalreporter.write_line(f"*** NOT TESTED: {reason} ***")
    if os.environ.get("CI") and not reasons:
        terminalreporter.write_line("nothing was left out")
