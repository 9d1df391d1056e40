"""Recover the weights of a small neural network from its values alone, with a certificate.

    import disentangle

    solution = disentangle.identify(f, input_dim=64)  # f takes an (n, 64) array
    solution.status                                   # "identified"
    solution.network.weights                          # arrays by PyTorch's names

    disentangle.fit(x, y, activation="relu")          # from samples alone, one hidden layer
"""

from ._fit import fit
from ._identify import identify
from ._native import Network, __version__
from ._networks import Verification, from_weights, generate, read, verify
from ._solution import Fitted, Solution

__all__ = [
    "Fitted",
    "Network",
    "Solution",
    "Verification",
    "__version__",
    "fit",
    "from_weights",
    "generate",
    "identify",
    "read",
    "verify",
]
