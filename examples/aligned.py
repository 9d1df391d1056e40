"""Weights found beside the true ones: the same order of units and the same signs.

    python examples/aligned.py tests/networks/digits-tanh-64-24-8.safetensors docs/result.svg

identifies the network of a file from its values alone and draws what was found against what is true. Needs matplotlib.
"""

import sys

import numpy as np

import disentangle


def aligned(truth: dict[str, np.ndarray], found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """`found` with the units of each hidden layer in the order and with the signs of `truth`, for tanh or erf.

    No values tell these: a unit may change places with another, and phi(-t) = -phi(t). Weights by PyTorch's names, arrays of
    shapes (units, inputs), (units,), ...; all widths are the same.
    """
    found = {name: np.array(tensor, dtype=float) for name, tensor in found.items()}
    layers = sorted(int(name.split(".")[0]) for name in truth if name.endswith(".weight"))
    for this, after in zip(layers, layers[1:]):
        rows = [np.column_stack([w[f"{this}.weight"], w[f"{this}.bias"]]) for w in (truth, found)]
        cosines = (rows[0] / np.linalg.norm(rows[0], axis=1, keepdims=True)) @ (rows[1] / np.linalg.norm(rows[1], axis=1, keepdims=True)).T
        order = np.abs(cosines).argmax(axis=1)
        if len(set(order)) != len(order):
            raise ValueError(f"the units of layer {this} are not those of the other network")
        signs = np.sign(cosines[np.arange(len(order)), order])
        found[f"{this}.weight"] = signs[:, None] * found[f"{this}.weight"][order]
        found[f"{this}.bias"] = signs * found[f"{this}.bias"][order]
        found[f"{after}.weight"] = found[f"{after}.weight"][:, order] * signs
    return found


def draw(truth: dict[str, np.ndarray], found: dict[str, np.ndarray], figure) -> None:
    """Found weights against true ones, and how far each is off, in a matplotlib figure."""
    left, right = figure.subplots(1, 2)
    errors = []
    for name, colour in zip((n for n in truth if n.endswith("weight")), ("#1f5fa8", "#c2571a", "#1d7a36")):
        left.plot(truth[name].ravel(), found[name].ravel(), ".", color=colour, markersize=3, label=f"{name} {truth[name].shape}")
    for name in truth:
        errors.append(np.abs(truth[name] - found[name]).ravel())
    errors = np.concatenate(errors)
    left.set(xlabel="true weight", ylabel="weight found from values alone")
    left.legend(frameon=False, fontsize=8)
    # Weights that agree to the last bit are at the left end.
    right.hist(np.log10(np.maximum(errors, 1e-18)), bins=40, color="#1f5fa8")
    right.set(xlabel="log10 |found - true|", ylabel="parameters", title=f"{errors.size:,} parameters, at most {errors.max():.0e} off")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
    figure.tight_layout()


def main() -> None:
    import matplotlib
    from matplotlib.figure import Figure

    # The same file from the same numbers.
    matplotlib.rcParams["svg.hashsalt"] = "disentangle"
    network = disentangle.read(sys.argv[1])
    truth = network.weights
    solution = disentangle.identify(network, input_dim=truth["0.weight"].shape[1])
    if not solution:
        sys.exit(f"{solution.status}: {solution.reason}")
    figure = Figure(figsize=(8, 3.4))
    draw(truth, aligned(truth, solution.network.weights), figure)
    figure.savefig(sys.argv[2], metadata={"Date": None})
    print(solution)


if __name__ == "__main__":
    main()
