"""Hessians by automatic differentiation, which sees the weights, for comparison with the stencils of `disentangle bench`.

    python studies/autodiff.py 64 64 8

Prints Hessians a CPU second of a network of tanh with these widths, one thread, f64 and f32. Needs torch.
"""

import sys
import time

import torch
from torch.func import hessian, vmap

POINTS = 32


def main() -> None:
    d, m0, m1 = map(int, sys.argv[1:4])
    torch.manual_seed(0)
    torch.set_num_threads(1)
    for kind in (torch.float64, torch.float32):
        first, second, last = (torch.randn(n, m, dtype=kind) / m**0.5 for n, m in ((m0, d), (m1, m0), (1, m1)))
        function = vmap(hessian(lambda x: (last @ torch.tanh(second @ torch.tanh(first @ x)))[0]))
        points = torch.randn(POINTS, d, dtype=kind)
        function(points)
        begin, calls = time.process_time(), 0
        while time.process_time() - begin < 3:
            function(points)
            calls += 1
        print(f"{kind}: {calls * POINTS / (time.process_time() - begin):,.0f} Hessians a CPU second")


if __name__ == "__main__":
    main()
