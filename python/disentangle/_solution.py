"""What a run returns."""

from __future__ import annotations

from dataclasses import dataclass, field
from html import escape
from typing import Any

from ._native import Network


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2e}"


class _Result:
    """A verdict that shows itself as a table."""

    status: str
    reason: str
    remedy: str | None

    def __bool__(self) -> bool:
        """Is it identified?"""
        return self.status == "identified"

    def _verdict(self) -> list[tuple[str, str]]:
        rows = [("verdict", f"{self.status.replace('_', ' ')} ({self.reason})")]
        return rows if self.remedy is None else [*rows, ("what may help", self.remedy)]

    def _rows(self) -> list[tuple[str, str]]:
        raise NotImplementedError

    def _stages(self) -> tuple[list[str], list[list[str]]]:
        """A table of the stages: its columns and its rows."""
        raise NotImplementedError

    def __str__(self) -> str:
        return "\n".join(f"{name:<18}{value}" for name, value in self._rows())

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = "".join(
            f'<tr><th style="text-align:left">{escape(name)}</th><td style="text-align:left">{escape(value)}</td></tr>'
            for name, value in self._rows()
        )
        columns, lines = self._stages()
        head = "".join(f"<th>{escape(column)}</th>" for column in columns)
        stages = "".join(
            f'<tr><td style="text-align:left">{escape(first)}</td>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
            for first, *rest in lines
        )
        return (
            f"<table>{rows}</table><details><summary>stages</summary><table><tr>{head}</tr>{stages}</table></details>"
        )


@dataclass(frozen=True)
class Solution(_Result):
    """The result of a run. That a network cannot be identified is a result, with a reason, and no exception."""

    #: "identified": fresh values agree with the network to the accuracy of f, and the parameter error has a bound within
    #: the tolerance. "approximate": a network, without that. "not_identified": no network.
    status: str
    #: Why, in a sentence.
    reason: str
    #: What may help, unless it is identified.
    remedy: str | None
    #: Bound on the parameter error, relative to the largest entry of each tensor (at least 1).
    error_bound: float | None
    #: Largest |network - f| on held-out points.
    residual: float | None
    #: Measured accuracy of the values of f near the origin.
    oracle_accuracy: float | None
    #: Points that f was asked for, without the few that tell its number of outputs.
    queries: int
    #: Units of each hidden layer, as far as they were found.
    widths: list[int] | None
    #: Wall-clock seconds of the run, and of these in f.
    seconds: float
    seconds_in_f: float
    #: The network, unless it is not identified.
    network: Network | None
    #: All that a program can read of the run; the README tells its fields.
    report: dict[str, Any] = field(repr=False)

    def _rows(self) -> list[tuple[str, str]]:
        rows = self._verdict()
        if self.widths is not None:
            rows.append(("widths", ", ".join(map(str, self.widths))))
        if self.network is not None:
            rows.append(("activation", ", ".join(dict.fromkeys(self.network.activations))))
            if self.network.link != "none":
                rows.append(("link", self.network.link))
        rows += [
            ("error bound", _number(self.error_bound)),
            ("residual", _number(self.residual)),
            ("oracle accuracy", _number(self.oracle_accuracy)),
            ("queries", f"{self.queries:,}"),
            ("seconds", f"{self.seconds:.2f}, of which {self.seconds_in_f:.2f} in f"),
        ]
        return rows

    def _stages(self) -> tuple[list[str], list[list[str]]]:
        seconds = self.report["seconds"]["by_stage"]
        queries = self.report["queries"]["by_stage"]
        rows = [[stage, f"{asked:,}", f"{seconds.get(stage, 0.0):.2f}"] for stage, asked in queries.items()]
        return ["stage", "queries", "seconds"], rows


@dataclass(frozen=True)
class Fitted(_Result):
    """The result of a fit to samples. That nothing is identified is a result, with a reason, and no exception."""

    #: "identified": held-out samples agree with the network to rounding, or to the noise told, and the parameter error has
    #: a bound within the tolerance. "approximate": a network, without that. "not_identified": no network.
    status: str
    #: Why, in a sentence.
    reason: str
    #: What may help, unless it is identified.
    remedy: str | None
    #: Bound on the parameter error, relative to the largest entry of each tensor (at least 1).
    error_bound: float | None
    #: Largest |network - y| on held-out samples.
    residual: float | None
    #: What rounding leaves of an output at most.
    accuracy: float | None
    #: n, and how many of them were held out.
    samples: int
    held_out: int
    #: Hidden units, if there is a network.
    units: int | None
    #: Wall-clock seconds.
    seconds: float
    #: The network, unless it is not identified.
    network: Network | None
    #: All that a program can read of the fit: the report of `disentangle fit --report`.
    report: dict[str, Any] = field(repr=False)

    def _rows(self) -> list[tuple[str, str]]:
        rows = self._verdict()
        rows.append(("samples", f"{self.samples:,}, of which {self.held_out:,} held out"))
        if self.units is not None:
            rows.append(("units", f"{self.units} ({self.report['activation']})"))
        rows += [
            ("error bound", _number(self.error_bound)),
            ("residual", _number(self.residual)),
            ("rounding", _number(self.accuracy)),
            ("seconds", f"{self.seconds:.2f}"),
        ]
        return rows

    def _stages(self) -> tuple[list[str], list[list[str]]]:
        seconds = self.report["seconds"]["by_stage"]
        return ["stage", "seconds"], [[stage, f"{spent:.2f}"] for stage, spent in seconds.items()]
