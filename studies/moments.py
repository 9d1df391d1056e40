"""NumPy's CPU time for the moments that `disentangle fit` takes of relu units; docs/samples.md has the figures.

    disentangle generate --dims 50,10 --class centred --activation relu --seed 0 --out g.safetensors
    disentangle sample --network g.safetensors --n 1000000 --out s.safetensors
    OPENBLAS_NUM_THREADS=1 python3 studies/moments.py s.safetensors 10

The same sums over the samples, each for two halves: x x^T, y x x^T and fourth powers in all d coordinates; then, in the k coordinates of the
span of the second moments, y z z and y z z z z, as products of matrices over blocks that stay in a cache.
"""

import sys
import time

import numpy as np
from safetensors.numpy import load_file

BLOCK = 2048

samples, k = load_file(sys.argv[1]), int(sys.argv[2])
x, y = samples["x"], samples["y"][:, 0]
n, d = x.shape
begun = time.process_time()

# What is linear in y, from the first samples.
pilot = slice(0, 1 << 16)
beta, *_ = np.linalg.lstsq(x[pilot], y[pilot] - y[pilot].mean(), rcond=None)
t = y - x @ beta - y[pilot].mean()

halves = np.zeros((2, d, d))
covariance, fourth, norms = np.zeros((d, d)), np.zeros(d), 0.0
for i, at in enumerate(range(0, n, BLOCK)):
    block, weight = x[at : at + BLOCK], t[at : at + BLOCK]
    covariance += block.T @ block
    halves[i % 2] += (block * weight[:, None]).T @ block
    squares = block * block
    fourth += (squares * squares).sum(axis=0)
    norms += (squares.sum(axis=1) ** 2).sum()
second = (halves[0] + halves[1]) / n - t.mean() * np.eye(d)
first_pass = time.process_time()

values, vectors = np.linalg.eigh(second)
span = vectors[:, np.argsort(-np.abs(values))[:k]]
inner = span.T @ second @ span
rows, columns = np.triu_indices(k)
q = len(rows)
orders = np.zeros((2, q)), np.zeros((2, q, q))
for i, at in enumerate(range(0, n, BLOCK)):
    z = x[at : at + BLOCK] @ span
    # What is known of the second moments is taken off first.
    weight = t[at : at + BLOCK] - 0.5 * ((z @ inner * z).sum(axis=1) - np.trace(inner))
    products = z[:, rows] * z[:, columns]
    orders[0][i % 2] += weight @ products
    orders[1][i % 2] += (products * weight[:, None]).T @ products
second_pass = time.process_time()

operations = 4 * n * d * d, 2 * n * (d * k + q * q)
print(f"NumPy {np.__version__}, {n} samples of {d} inputs, {k} units: CPU seconds {first_pass - begun:.2f} in all coordinates, "
      f"{second_pass - first_pass:.2f} in the span")
print(f"products alone: {operations[0]:.1e} and {operations[1]:.1e} floating-point operations")
