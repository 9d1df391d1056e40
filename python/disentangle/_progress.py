"""What is shown of a run while it lasts."""

from __future__ import annotations

import sys
import time
from typing import Any, Protocol

_WIDTH = 18
#: A display is drawn anew this often, in seconds; a line is written for a long stage this often.
_OFTEN, _SELDOM = 0.1, 30.0


class Display(Protocol):
    """What a run is shown on."""

    def show(
        self, stage: str, number: int, stages: int, queries: int, total: int, left: float | None
    ) -> None: ...

    def fit(self, stage: str, units: int, start: int, starts: int, share: float) -> None: ...

    def note(self, text: str) -> None: ...

    def close(self) -> None: ...


def display() -> Display:
    """A bar in a notebook or in a terminal; elsewhere a line a stage."""
    handle = _notebook()
    if handle is not None:
        return Bar(handle)
    return Bar(None) if sys.stderr.isatty() else Lines()


def _notebook() -> Any | None:
    """A place for a bar in the notebook that this runs in, if it does."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    if shell is None or not hasattr(shell, "kernel"):
        return None
    from IPython.display import HTML, display

    return display(HTML(""), display_id=True)


def _words(stage: str, queries: int, total: int, left: float | None) -> str:
    later = f", {left:.0f} s more for this stage" if left is not None and left >= 1 else ""
    return f"{stage:<8} {queries:,} queries, {total:,} so far{later}"


def _fit_words(stage: str, units: int, start: int, starts: int) -> str:
    return f"{stage}, {units} units, start {start} of at most {starts}" if start else stage


class Bar:
    """A bar over the stages, drawn in place."""

    def __init__(self, handle: Any | None) -> None:
        self._handle = handle
        self._begun = time.monotonic()
        self._drawn = 0.0
        self._length = 0

    def show(
        self, stage: str, number: int, stages: int, queries: int, total: int, left: float | None
    ) -> None:
        # Earlier stages are done; a stage entered again moves the bar back.
        self._draw(max(number - 1, 0) / max(stages, 1), _words(stage, queries, total, left))

    def fit(self, stage: str, units: int, start: int, starts: int, share: float) -> None:
        self._draw(share, f"{_fit_words(stage, units, start, starts)}: a pass")

    def _draw(self, done: float, words: str) -> None:
        now = time.monotonic()
        if now - self._drawn < _OFTEN:
            return
        self._drawn = now
        words = f"[{now - self._begun:.0f} s] {words}"
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(f'<progress value="{done}" max="1"></progress> <code>{words}</code>'))
            return
        bar = ("=" * round(done * _WIDTH) + ">").ljust(_WIDTH)[:_WIDTH]
        self._write(f"[{bar}] {words}")

    def note(self, text: str) -> None:
        if self._handle is not None:
            print(text)
            return
        self._write(text)
        sys.stderr.write("\n")
        self._length = 0

    def close(self) -> None:
        if self._handle is not None:
            from IPython.display import HTML

            self._handle.update(HTML(""))
            return
        self._write("")
        sys.stderr.write("\r")
        sys.stderr.flush()

    def _write(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self._length))
        sys.stderr.flush()
        self._length = len(line)


class Lines:
    """One line a stage, and one now and then while it lasts."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._last = 0.0
        self._stage: str | None = None
        self._told: set[str] = set()

    def show(
        self, stage: str, number: int, stages: int, queries: int, total: int, left: float | None
    ) -> None:
        self._line(stage != self._stage, _words(stage, queries, total, left))
        self._stage = stage

    def fit(self, stage: str, units: int, start: int, starts: int, share: float) -> None:
        # Every start has the same stages.
        self._line(stage not in self._told, _fit_words(stage, units, start, starts))
        self._told.add(stage)

    def _line(self, fresh: bool, words: str) -> None:
        now = time.monotonic()
        if fresh or now - self._last > _SELDOM:
            self._last = now
            self.note(words)

    def note(self, text: str) -> None:
        sys.stderr.write(f"[{time.monotonic() - self._begun:7.2f} s] {text}\n")

    def close(self) -> None:
        sys.stderr.flush()
