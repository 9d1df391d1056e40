"""What is shown of a run: in a notebook, in a terminal, and elsewhere."""

import io
import sys
import types

import pytest

import disentangle
from disentangle import _progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Handle:
    """The place of a display in a notebook."""

    def __init__(self):
        self.shown = []

    def update(self, html):
        self.shown.append(html)


@pytest.fixture
def notebook(monkeypatch):
    handle = Handle()
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: types.SimpleNamespace(kernel=None)
    display.HTML = str
    display.display = lambda html, display_id: handle
    ipython.display = display
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return handle


def test_a_notebook_has_a_bar_that_goes_away(small, notebook):
    assert disentangle.identify(small, 4, progress=True)
    assert notebook.shown[0].startswith("<progress value=") and "queries" in notebook.shown[0]
    assert notebook.shown[-1] == ""


def test_a_terminal_has_a_bar_in_one_line(small, monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert disentangle.identify(small, 4, progress=True)
    shown = terminal.getvalue()
    assert "\r[" in shown and "queries" in shown and "\n" not in shown
    # It is wiped off, and the next text begins at the left.
    assert shown.split("\r")[-2].strip() == "" and shown.endswith("\r")


def test_the_bar_goes_with_the_stages(monkeypatch):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(_progress, "_OFTEN", 0)
    bar = _progress.display()
    bar.show("probe", 1, 9, 10, 10, None)
    bar.show("refine", 9, 9, 1000, 20000, 12.3)
    bar.note("a remark")
    first, last, note = (line.strip() for line in terminal.getvalue().split("\r")[1:4])
    assert first.startswith("[>") and "probe" in first
    assert last.startswith("[================>") and "1,000 queries, 20,000 so far, 12 s more for this stage" in last
    assert note == "a remark"


def test_the_bar_is_closed_where_a_run_breaks(notebook):
    with pytest.raises(ZeroDivisionError):
        disentangle.identify(lambda x: 1 / 0 if notebook.shown else x[:, 0], 4, progress=True)
    assert notebook.shown[-1] == ""
