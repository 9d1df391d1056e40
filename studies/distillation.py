"""Distillation at equal queries: what a student of the true shape learns from as many values as `identify` asks.

    python studies/distillation.py tests/networks/digits-tanh-64-24-8.safetensors --queries 32028

The student has the widths and the activations of the black box and starts at random. It is fitted in f64 by L-BFGS to all values
at once, at Gaussian points of the scale that is given; nothing else of the black box is looked at. Printed are its error on fresh
points, relative to the spread of f, and its parameter error, as `disentangle verify` has it. Needs torch and the Python package.
"""

import argparse
import time

import numpy as np
import torch

import disentangle


def student(truth: disentangle.Network, generator: torch.Generator) -> torch.nn.Sequential:
    """A network like `truth` with other weights, uniform as PyTorch draws them."""
    model = truth.to_torch()
    for parameter in model.parameters():
        inputs = parameter.shape[-1]
        with torch.no_grad():
            parameter.copy_((2 * torch.rand(parameter.shape, generator=generator, dtype=torch.float64) - 1) / inputs**0.5)
    return model


def fit(model: torch.nn.Module, x: torch.Tensor, y: torch.Tensor, steps: int) -> float:
    """Least squares by L-BFGS; returns the root mean square of what is left."""
    optimiser = torch.optim.LBFGS(model.parameters(), max_iter=steps, history_size=50, tolerance_grad=0, tolerance_change=0,
                                  line_search_fn="strong_wolfe")

    def closure() -> torch.Tensor:
        optimiser.zero_grad()
        loss = torch.mean((model(x).squeeze(-1) - y) ** 2)
        loss.backward()
        return loss

    optimiser.step(closure)
    return float(closure().detach().sqrt())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("network")
    parser.add_argument("--queries", type=int, required=True)
    parser.add_argument("--scale", type=float, default=1.0, help="standard deviation of the points")
    parser.add_argument("--steps", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    truth = disentangle.read(arguments.network)
    inputs = truth.weights["0.weight"].shape[1]
    draw = np.random.default_rng(0)
    x, fresh = (arguments.scale * draw.standard_normal((n, inputs)) for n in (arguments.queries, 4000))
    y, expected = truth(x), truth(fresh)
    for seed in range(arguments.seeds):
        begin = time.perf_counter()
        model = student(truth, torch.Generator().manual_seed(seed))
        left = fit(model, torch.from_numpy(x), torch.from_numpy(y), arguments.steps)
        seconds = time.perf_counter() - begin
        with torch.no_grad():
            values = model(torch.from_numpy(fresh)).squeeze(-1).numpy()
        error = np.sqrt(np.mean((values - expected) ** 2)) / expected.std()
        learned = disentangle.from_weights({k: v.numpy() for k, v in model.state_dict().items()}, truth.activations)
        verified = disentangle.verify(truth, learned)
        print(f"seed {seed}: fitted to {left:.1e}, error on fresh points {error:.1e} of the spread, "
              f"parameter error {verified.parameter_error:.1e}, {seconds:.0f} s", flush=True)


if __name__ == "__main__":
    main()
