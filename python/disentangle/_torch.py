"""PyTorch, which is never imported unless it is there already or asked for."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def loaded() -> Any | None:
    """The module `torch`, if it is imported: nobody has a module or a tensor of it otherwise."""
    return sys.modules.get("torch")


def is_module(f: Any) -> bool:
    """Is f a `torch.nn.Module`?"""
    torch = loaded()
    return torch is not None and isinstance(f, torch.nn.Module)


def as_array(answer: Any) -> Any:
    """A tensor as an array in float64; anything else as it is."""
    torch = loaded()
    if torch is None or not isinstance(answer, torch.Tensor):
        return answer
    tensor = answer.detach().cpu()
    return (tensor.double() if tensor.is_floating_point() else tensor).numpy()


def caller(module: Any) -> Callable[[np.ndarray], Any]:
    """The module as a function of an array: without gradients, in its own type and on its own device."""
    import torch

    _check_evaluating(module)
    tensors = [*module.parameters(), *module.buffers()]
    own = next((tensor for tensor in tensors if tensor.is_floating_point()), torch.empty(0, dtype=torch.float64))

    def call(points: np.ndarray) -> Any:
        with torch.no_grad():
            return module(torch.from_numpy(points).to(own.dtype).to(own.device))

    return call


def _check_evaluating(module: Any) -> None:
    """Refuses a module whose values are random, or depend on the other points of a batch."""
    from torch.nn.modules.batchnorm import _NormBase
    from torch.nn.modules.dropout import _DropoutNd

    for name, part in module.named_modules():
        random = isinstance(part, _DropoutNd) and part.p > 0
        if part.training and (random or isinstance(part, _NormBase)):
            raise ValueError(
                f"the module is in training mode, and its {type(part).__name__} ({name or 'itself'}) makes the values "
                "random or dependent on the batch: call .eval() on it first"
            )


def to_torch(network: Any, dtype: Any = None, device: Any = None) -> Any:
    """A `torch.nn.Sequential` with the weights of a network, in float64 unless another type is given."""
    import torch
    from torch import nn

    class Erf(nn.Module):
        def forward(self, x: Any) -> Any:
            return torch.erf(x)

    class Ranged(nn.Module):
        """A sigmoid or tanh between two limits."""

        def __init__(self, link: nn.Module, lo: float, factor: float) -> None:
            super().__init__()
            self.link, self.lo, self.factor = link, lo, factor

        def forward(self, x: Any) -> Any:
            return self.lo + self.factor * self.link(x)

    class SquaredReLU(nn.Module):
        """max(x, 0)^2."""

        def forward(self, x: Any) -> Any:
            return torch.relu(x).square()

    activations: dict[str, Callable[[], nn.Module]] = {
        "tanh": nn.Tanh,
        "sigmoid": nn.Sigmoid,
        "erf": Erf,
        "relu": nn.ReLU,
        "leaky_relu": nn.LeakyReLU,
        "softplus": nn.Softplus,
        "silu": nn.SiLU,
        "gelu": nn.GELU,
        "gelu_tanh": lambda: nn.GELU(approximate="tanh"),
        "squared_relu": SquaredReLU,
    }
    weights = network.weights
    layers: list[nn.Module] = []
    for place, activation in enumerate([*network.activations, None]):
        units, inputs = weights[f"{2 * place}.weight"].shape
        layers.append(nn.Linear(inputs, units, dtype=torch.float64))
        if activation is not None:
            layers.append(activations[activation]())
    links: dict[str, Callable[[], nn.Module]] = {"sigmoid": nn.Sigmoid, "tanh": nn.Tanh, "softmax": lambda: nn.Softmax(dim=-1)}
    if network.link in links:
        link = links[network.link]()
        if network.link_range is not None:
            lo, hi = network.link_range
            middle = network.link == "tanh"
            link = Ranged(link, 0.5 * (lo + hi), 0.5 * (hi - lo)) if middle else Ranged(link, lo, hi - lo)
        layers.append(link)
    module = nn.Sequential(*layers)
    module.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return module.to(dtype=dtype, device=device).eval()
