"""The training baseline of `study`, in PyTorch: a student learns from samples by Adam or gradient descent.

    disentangle generate --dims 10,5 --class centred --activation relu --seed 0 --out teacher.safetensors
    disentangle sample --network teacher.safetensors --n 20000 --seed 0 --out samples.safetensors
    python3 train_student.py samples.safetensors teacher.safetensors --width 5 --optimiser adam

Prints the mean squared error on the samples, and the largest distance of a unit of the teacher from the nearest one of the
student, both of norm 1, after units of one direction are merged.
"""
import argparse
import math
import time

import torch
from safetensors.torch import load_file

parser = argparse.ArgumentParser()
parser.add_argument("samples")
parser.add_argument("teacher")
parser.add_argument("--width", type=int, required=True)
parser.add_argument("--optimiser", choices=["adam", "gradient"], default="adam")
parser.add_argument("--rate", type=float, help="first rate [default: 1e-2 for adam, 3e-2 for gradient]")
parser.add_argument("--batch", type=int, default=256)
parser.add_argument("--steps", type=int, default=20000)
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()

torch.manual_seed(options.seed)
torch.set_default_dtype(torch.float64)
samples, teacher = load_file(options.samples), load_file(options.teacher)
x, y, truth = samples["x"], samples["y"], teacher["0.weight"]
d, m, k = x.shape[1], y.shape[1], options.width

w = (torch.randn(k, d) * math.sqrt(2 / d)).requires_grad_()
u = (torch.randn(m, k) * math.sqrt(1 / k)).requires_grad_()
optimiser = {
    "adam": lambda rate: torch.optim.Adam([w, u], lr=rate or 1e-2),
    "gradient": lambda rate: torch.optim.SGD([w, u], lr=rate or 3e-2),
}[options.optimiser](options.rate)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, options.steps)

begun = time.time()
for _ in range(options.steps):
    batch = torch.randint(len(x), (min(options.batch, len(x)),))
    loss = torch.nn.functional.mse_loss(torch.relu(x[batch] @ w.T) @ u.T, y[batch])
    optimiser.zero_grad()
    loss.backward()
    optimiser.step()
    schedule.step()

with torch.no_grad():
    error = torch.nn.functional.mse_loss(torch.relu(x @ w.T) @ u.T, y)
    weights = u.norm(dim=0) * w.norm(dim=1)
    directions = w / w.norm(dim=1, keepdim=True)
    merged = []  # [direction, size], the largest first; those of one direction are one
    for i in weights.argsort(descending=True):
        alike = next((unit for unit in merged if directions[i] @ unit[0] / unit[0].norm() > 0.95), None)
        if alike is None:
            merged.append([directions[i], weights[i]])
        else:
            alike[0] = (alike[0] * alike[1] + directions[i] * weights[i]) / (alike[1] + weights[i])
            alike[1] += weights[i]
    units = torch.stack([v / v.norm() for v, size in merged if size > 0.03 * merged[0][1]])
    truth = truth / truth.norm(dim=1, keepdim=True)
    distance = torch.cdist(truth, units).min(dim=1).values.max()

print(f"mean squared error {error:.3e}, units {len(units)}, distance {distance:.3e}, {time.time() - begun:.1f} s")
