"""What the caller gives, as a function from float64 points (n, d) to float64 outputs (n, K) that is checked at each call."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _torch

#: Points at which it is asked how many outputs f has, and whether a point alone is answered as among others.
_PROBES = 4
#: Values differ where they do so by more than this share of the largest: in float32 the last digits depend on the batch.
_SAME = 1e-4
#: What repeated questions differ by, for each unit of what batches differ by, at most: otherwise it is noise.
_REPEATED = 0.1


@dataclass(frozen=True)
class Region:
    """Where f may be asked."""

    center: Sequence[float] | None
    domain_radius: float | None

    def points(self, count: int, d: int) -> np.ndarray:
        """The same few points each time, within the domain: shape (count, d)."""
        points = np.random.default_rng(0).standard_normal((count, d))
        if self.domain_radius is not None:
            points *= 0.5 * self.domain_radius / np.linalg.norm(points, axis=1, keepdims=True)
        if self.center is None:
            return points
        if len(self.center) != d:
            raise ValueError(f"center has {len(self.center)} coordinates, f {d} inputs")
        points += np.asarray(self.center, dtype=float)
        return points


class BlackBox:
    """A function, and how many inputs and outputs it has."""

    def __init__(self, f: Callable[[Any], Any], dims: tuple[int, int | None], batch: int, region: Region) -> None:
        input_dim, output_dim = dims
        if not callable(f):
            raise TypeError(f"f must be a function of an (n, {input_dim}) array, not {type(f).__name__}")
        self._call = _torch.caller(f) if _torch.is_module(f) else f
        self._batch = batch
        self.input_dim = input_dim
        # Until the first answer.
        self.output_dim = output_dim
        self.probe = self._answer(region.points(_PROBES, input_dim))
        self.output_dim = self.probe.shape[1]

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """The outputs (n, K) at points (n, d), at most `batch` of them at a time."""
        if len(points) <= self._batch:
            return self._answer(points)
        parts = [self._answer(points[at : at + self._batch]) for at in range(0, len(points), self._batch)]
        return np.concatenate(parts)

    def _answer(self, points: np.ndarray) -> np.ndarray:
        count = len(points)
        # f may write into its argument; the message below may need it.
        answer = _torch.as_array(self._call(points.copy()))
        values = np.asarray(answer)
        if values.dtype.kind != "f":
            raise TypeError(
                f"f must return floats, not {values.dtype}: {_shown(answer)}. Of a classifier return the scores or "
                "probabilities, not the label; text and None are no numbers"
            )
        expected = "(n,) or (n, K)" if self.output_dim is None else f"(n, {self.output_dim})"
        if self.output_dim == 1:
            expected = "(n,) or (n, 1)"
        rows = values[:, None] if values.ndim == 1 else values
        fits = rows.ndim == 2 and rows.shape[0] == count and rows.shape[1] > 0
        if not fits or self.output_dim not in (None, rows.shape[1]):
            raise ValueError(
                f"f returned an array of shape {values.shape} for n = {count} points of shape {points.shape}; expected "
                f"{expected}, a row or a number for each point"
            )
        rows = np.ascontiguousarray(rows, dtype=np.float64)
        if not np.isfinite(rows).all():
            self._refuse(points, rows)
        return rows

    def _refuse(self, points: np.ndarray, rows: np.ndarray) -> None:
        at = int(np.argmax(~np.isfinite(rows).all(axis=1)))
        point = points[at]
        value = rows[at][~np.isfinite(rows[at])][0]
        head = ", ".join(f"{x:.4g}" for x in point[:4])
        raise ValueError(
            f"f returned {value} at a point of norm {np.linalg.norm(point):.3g} (it begins {head}): mend f there, or, if it "
            "must not be asked far out, keep it near with domain_radius"
        )

    def batch_trouble(self) -> str | None:
        """What is wrong with its batches, if a point alone is answered otherwise than among others."""
        points = np.random.default_rng(1).standard_normal((2 * _PROBES, self.input_dim))
        alone, again = (np.concatenate([self._answer(points[k : k + 1]) for k in range(len(points))]) for _ in range(2))
        together, together_again = self._answer(points), self._answer(points)
        by = np.abs(alone - together)
        noise = np.maximum(np.abs(alone - again), np.abs(together - together_again))
        differs = (by > _SAME * np.abs(alone).max()) & (noise <= _REPEATED * by)
        if not differs.any():
            return None
        at = np.unravel_index(np.argmax(differs), differs.shape)
        return (
            f"the values depend on the size of the batch: at one point {alone[at]:.6e} alone, {together[at]:.6e} among "
            f"{len(points)}; mend that, or give batch=1"
        )


def _shown(answer: Any) -> str:
    text = repr(answer)
    return text if len(text) <= 60 else text[:60] + "..."
