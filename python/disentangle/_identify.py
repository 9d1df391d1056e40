"""From a function to a certified network."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from . import _native
from ._black_box import BlackBox, Region
from ._progress import display
from ._solution import Solution

#: Points of a call at most: an answer of a wide network to more takes memory and no less time.
_BATCH = 65536


def identify(
    f: Callable[[Any], Any],
    input_dim: int,
    *,
    output_dim: int | None = None,
    seed: int = 0,
    depth: int | str = "auto",
    activation: str | Iterable[str] = "auto",
    link: str = "auto",
    link_range: tuple[float, float] | None = None,
    widths: int | Sequence[int] | None = None,
    tolerance: float = 1e-6,
    max_queries: int = 20_000_000,
    time_limit: float | None = None,
    attempts: int = 4,
    pipeline: str = "wide",
    first_layer: str = "auto",
    fit: str = "auto",
    ascent: str | None = None,
    center: Sequence[float] | None = None,
    radius: float | None = None,
    design: str | None = None,
    hessians: int | None = None,
    descent: str | None = None,
    domain_radius: float | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    resume: bool = False,
    batch: int = _BATCH,
    progress: bool = False,
) -> Solution:
    """Recovers the network behind f from its values alone.

    Args:
        f: takes a float64 array of shape (n, d) and returns floats of shape (n,) or (n, K). Or a `torch.nn.Module`, which
            is called without gradients, in its own type and on its own device. It is called on this thread.
        input_dim: d, the number of inputs.
        output_dim: K, to be sure that f has as many outputs.
        seed: fixes every random draw; an equal seed gives an equal result.
        depth: hidden layers, 1 or 2; "auto": their number is found.
        activation: of all hidden layers (tanh, sigmoid, erf; with one hidden layer also relu, leaky_relu, softplus,
            silu, gelu, gelu_tanh), or a pair; "auto": what is seen decides.
        link: what the outputs went through last: none, sigmoid, tanh or softmax; "auto": what the values allow.
        link_range: the limits of that sigmoid or tanh, where they are not its own.
        widths: (m0, m1) that the network must have, or m of one hidden layer; never needed.
        tolerance: the largest bound on the parameter error of an identified network.
        max_queries: points that may be asked.
        time_limit: seconds after which the run ends with what is known then. A call of f is waited for.
        attempts: fresh starts when a stage fails.
        pipeline: "wide" asks far from the origin; "entangled" and "published" stay near `center`.
        first_layer: "auto", "lines" or "stack".
        fit: "auto", "dense" or "blocks".
        ascent: "spectral" and others: the search for rank-one matrices.
        center: shape (d,): where to sample, and the middle of the domain; without it the origin.
        radius: of the sampling near the center.
        design: "sphere", "ball" or "gaussian": how the points near the center are spread.
        hessians: how many the published pipeline takes.
        descent: "gauss-newton" or "gradient".
        domain_radius: nothing farther than this from the center is asked.
        checkpoint: a folder in which all answers are kept: the same call, begun again however it was cut off, goes on
            from there to the same result and asks nothing twice.
        resume: the checkpoint must be there.
        batch: points of one call of f at most.
        progress: show a bar in a terminal or a notebook, elsewhere a line a stage, on stderr.

    Raises:
        TypeError, ValueError: settings that do not fit, or an f that returns something else than finite floats of the
            right shape; the message says what to do. Whatever f raises comes out as it is.
        KeyboardInterrupt: Ctrl-C; a checkpoint holds all that was answered.
        OSError: the checkpoint cannot be used.
    """
    settings: dict[str, Any] = {
        "seed": seed,
        "depth": depth,
        "activation": activation if isinstance(activation, str) else list(activation),
        "link": link,
        "link_range": link_range,
        "widths": widths,
        "tolerance": tolerance,
        "max_queries": max_queries,
        "time_limit": time_limit,
        "attempts": attempts,
        "pipeline": pipeline,
        "first_layer": first_layer,
        "fit": fit,
        "ascent": ascent,
        "center": None if center is None else [float(x) for x in center],
        "radius": radius,
        "design": design,
        "hessians": hessians,
        "descent": descent,
        "domain_radius": domain_radius,
        "checkpoint": checkpoint,
        "resume": resume,
    }
    begun = time.perf_counter()
    dims = _count("input_dim", input_dim), None if output_dim is None else _count("output_dim", output_dim)
    _native.check(dims[0], settings)
    black_box = BlackBox(f, dims, _count("batch", batch), Region(settings["center"], domain_radius))
    shown = display() if progress else None
    given = {
        "ask": black_box,
        "dims": (black_box.input_dim, black_box.output_dim),
        "probe": black_box.probe.ravel().tolist(),
        "progress": shown,
        "arguments": [f"{name}={value!r}" for name, value in settings.items() if value is not None],
    }
    try:
        text, network, seconds_in_f = _native.identify(given, settings)
    finally:
        if shown is not None:
            shown.close()
    report = json.loads(text)
    # Where f may not be asked anywhere the points of that question may be outside.
    if report["status"] != "identified" and domain_radius is None:
        trouble = black_box.batch_trouble()
        if trouble is not None:
            report["remedy"] = trouble
    return Solution(
        status=report["status"],
        reason=report["reason"],
        remedy=report.get("remedy"),
        error_bound=report["parameter_error_bound"],
        residual=report["residual"],
        oracle_accuracy=report["oracle_accuracy"],
        queries=report["queries"]["total"],
        widths=report["widths"],
        seconds=time.perf_counter() - begun,
        seconds_in_f=seconds_in_f,
        network=network,
        report=report,
    )


def _count(name: str, value: Any) -> int:
    try:
        count = int(value.__index__())
    except AttributeError:
        raise TypeError(f"{name} must be a whole number, not {value!r}") from None
    if count < 1:
        raise ValueError(f"{name} must be at least 1, not {value!r}")
    return count
