"""From samples to a certified network."""

from __future__ import annotations

import json
import time
from typing import Any

import numpy as np

from . import _native, _torch
from ._progress import display
from ._solution import Fitted


def fit(
    x: Any,
    y: Any,
    *,
    activation: str,
    depth: int = 1,
    units: int | None = None,
    method: str = "tensor",
    noise: float = 0.0,
    tolerance: float = 1e-6,
    attempts: int = 20,
    seed: int = 0,
    progress: bool = False,
) -> Fitted:
    """Recovers a network of one hidden layer, y = U phi(W x) without shifts and offset, from samples alone.

    One sample in ten is held out, and never fitted. The network is identified if all held-out outputs agree to rounding, or,
    with `noise`, to that noise and without a trace of the inputs, and its parameters have a small error bound.

    Args:
        x: inputs of shape (n, d), Gaussian of any mean and covariance: an array, or a tensor of PyTorch.
        y: outputs of shape (n,) or (n, m). Where they are in float32, their rounding is allowed for.
        activation: of the units: relu, leaky_relu, squared_relu, tanh, sigmoid, erf, softplus, silu, gelu or gelu_tanh.
        depth: hidden layers; samples tell of one.
        units: k, at most d; None: by the gap in the singular values of the second moments.
        method: "tensor": moments, then least squares; "exact": moments, then the exact system of relu and leaky_relu;
            "descent": training by Adam from a random start, for comparison.
        noise: standard deviation of the noise of each output.
        tolerance: the largest bound on the parameter error of an identified network.
        attempts: starts at most.
        seed: fixes every random draw; an equal seed gives an equal result.
        progress: show a bar in a terminal or a notebook, elsewhere a line a stage, on stderr.

    Raises:
        TypeError, ValueError: arrays or settings that will not do, numbers that are not finite; the message says which.
        KeyboardInterrupt: Ctrl-C.
    """
    begun = time.perf_counter()
    inputs, outputs = _rows("x", x), _rows("y", y)
    if len(inputs) != len(outputs):
        raise ValueError(f"x has {len(inputs)} samples and y has {len(outputs)}")
    settings: dict[str, Any] = {
        "activation": activation,
        "depth": depth,
        "units": units,
        "method": method,
        "noise": noise,
        "tolerance": tolerance,
        "attempts": attempts,
        "seed": seed,
    }
    shown = display() if progress else None
    given = {
        "x": inputs,
        "y": outputs,
        "single": _type(y) == "float32",
        "progress": shown,
        "arguments": [f"{name}={value!r}" for name, value in settings.items() if value is not None],
    }
    try:
        text, network = _native.fit(given, settings)
    finally:
        if shown is not None:
            shown.close()
    report = json.loads(text)
    return Fitted(
        status=report["status"],
        reason=report["reason"],
        remedy=report["remedy"],
        error_bound=report["parameter_error_bound"],
        residual=report["residual"],
        accuracy=report["accuracy"],
        samples=report["samples"],
        held_out=report["held_out"],
        units=report["units"],
        seconds=time.perf_counter() - begun,
        network=network,
        report=report,
    )


def _type(given: Any) -> str:
    """The name of the type of the numbers, of NumPy or of PyTorch."""
    return str(getattr(given, "dtype", "")).rpartition(".")[2]


def _rows(name: str, given: Any) -> np.ndarray:
    """The numbers of samples as a matrix of float64, a row a sample."""
    values = np.asarray(_torch.as_array(given))
    if values.dtype.kind not in "fiu" or _type(given) in ("float16", "bfloat16"):
        kind = _type(given) or str(values.dtype)
        raise TypeError(f"{name} must hold floats of 32 or 64 bits, not {kind}")
    if name == "y" and values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or 0 in values.shape:
        expected = "(n, d)" if name == "x" else "(n,) or (n, m)"
        raise ValueError(f"{name} has shape {np.shape(given)}; expected {expected}, a row for each sample")
    return np.ascontiguousarray(values, dtype=np.float64)
