"""Networks: random ones, files, and two of them side by side."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import _native
from ._native import Network


def generate(
    dims: Iterable[int],
    *,
    seed: int,
    outputs: int = 1,
    kind: str = "paper",
    activation: str | Iterable[str] = "tanh",
    link: str = "none",
    link_range: tuple[float, float] | None = None,
) -> Network:
    """A random network, the same for an equal seed.

    Args:
        dims: inputs, then the units of each hidden layer: `[64, 24, 8]`.
        outputs: K, the number of outputs.
        kind: "paper" (unit columns, small shifts, output weights of 1), "general" (as trained networks are)
            or "centred" (as "paper", without shifts).
        activation: one name for all hidden layers, or one each: tanh, sigmoid, erf, relu, leaky_relu, softplus, silu,
            gelu, gelu_tanh or squared_relu.
        link: what the outputs go through: none, sigmoid, tanh or softmax.
        link_range: the limits of that sigmoid or tanh, where they are not its own.
    """
    options = {"outputs": outputs, "kind": kind, "activation": activation, "link": link, "link_range": link_range}
    return _native.generate(list(dims), seed, options)


def read(path: str | os.PathLike[str]) -> Network:
    """The network in a file: safetensors with PyTorch's names, or an ONNX model where the name ends in `.onnx`.

    Raises:
        OSError: the file cannot be read.
        ValueError: it holds no network; the message says why.
    """
    return _native.read(path)


def from_weights(
    weights: Mapping[str, Any],
    activation: str | Iterable[str],
    *,
    link: str = "none",
    link_range: tuple[float, float] | None = None,
) -> Network:
    """A network of arrays by the names of `torch.nn.Sequential(Linear, act, ..., Linear).state_dict()`.

    Args:
        weights: `"0.weight"` of shape (m0, d), `"0.bias"` of shape (m0,), `"2.weight"` of shape (m1, m0), and so on to
            the outputs, which are the last. Arrays, or tensors of PyTorch.
        activation: one name for all hidden layers, or one each.
        link: what the outputs go through: none, sigmoid, tanh or softmax.
        link_range: the limits of that sigmoid or tanh, where they are not its own.
    """
    arrays = {}
    for name, given in weights.items():
        tensor = given.detach().cpu() if hasattr(given, "detach") else given
        array = np.asarray(tensor, dtype=np.float64)
        if array.ndim not in (1, 2):
            raise ValueError(f"{name} has shape {array.shape}; weights are matrices, biases vectors")
        arrays[name] = np.atleast_2d(array)
    return Network._from_arrays(arrays, {"activation": activation, "link": link, "link_range": link_range})


@dataclass(frozen=True)
class Verification:
    """How far two networks are apart, up to the order and the signs of their units. True where they are the same."""

    #: Within the tolerance, and of the same kind.
    same: bool
    #: max |difference| / max(1, max |true entry|) over all tensors; None where there is nothing to compare.
    parameter_error: float | None
    #: The largest |difference| of the outputs before the link on 4000 fixed points.
    output_error: float | None
    #: The parameter error of each tensor: A, theta, B, tau, c and c0.
    tensor_errors: dict[str, float]
    widths_match: bool
    activations_match: bool
    links_match: bool

    def __bool__(self) -> bool:
        return self.same


def verify(
    truth: Network | str | os.PathLike[str],
    recovered: Network | str | os.PathLike[str],
    *,
    tolerance: float = 1e-6,
) -> Verification:
    """Compares two networks, or files of them, in their smallest form, up to the order and the signs of their units."""
    return Verification(**_native.compare(truth, recovered, tolerance))
