"""An oracle over the text protocol: a point a line on stdin, a value a line on stdout.

    disentangle identify --process "python3 server.py network.safetensors" ...
"""
import sys

import numpy as np
from safetensors import safe_open

with safe_open(sys.argv[1], "numpy") as file:
    W = {name: file.get_tensor(name) for name in file.keys()}
    phi = {"tanh": np.tanh, "sigmoid": lambda t: 1 / (1 + np.exp(-t))}[file.metadata()["activation"]]


def f(x):  # n x d -> n
    y = phi(x @ W["0.weight"].T + W["0.bias"])
    return phi(y @ W["2.weight"].T + W["2.bias"]) @ W["4.weight"][0] + W["4.bias"][0]


rest = b""
while chunk := sys.stdin.buffer.read1(1 << 20):  # whatever is there
    lines, end, rest = (rest + chunk).rpartition(b"\n")
    if end:
        x = np.array(lines.split(), dtype=float).reshape(-1, W["0.weight"].shape[1])
        print(*f(x).tolist(), sep="\n", flush=True)
