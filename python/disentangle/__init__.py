"""Recover the weights of a small neural network from its values alone, with a certificate.

    import disentangle

    solution = disentangle.identify(f, input_dim=64)  # f takes an (n, 64) array
    solution.status                                   # "identified"
    solution.network.weights                          # arrays by PyTorch's names
"""

from ._identify import identify
from ._native import Network, __version__
from ._networks import Verification, from_weights, generate, read, verify
from ._solution import Solution

__all__ = [
    "Network",
    "Solution",
    "Verification",
    "__version__",
    "from_weights",
    "generate",
    "identify",
    "read",
    "verify",
]
