"""Modules of PyTorch, in and out."""

import numpy as np
import pytest
from conftest import NETWORKS, needs

import disentangle

torch = needs("torch")
nn = torch.nn


def test_a_module_is_identified_without_gradients():
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1)).double()
    seen = set()
    model.register_forward_hook(lambda module, given, out: seen.add((given[0].dtype, out.requires_grad)))
    solution = disentangle.identify(model, input_dim=6)
    assert seen == {(torch.float64, False)}
    assert solution
    truth = disentangle.from_weights(model.state_dict(), "tanh")
    assert disentangle.verify(truth, solution.network, tolerance=1e-9)
    again = solution.network.to_torch()
    x = torch.randn(50, 6, dtype=torch.float64)
    assert (again(x) - model(x)).abs().max() < 1e-12


def test_a_module_in_f32_is_asked_in_f32():
    model = disentangle.generate([4, 4, 2], seed=1).to_torch(torch.float32)
    seen = set()
    model.register_forward_hook(lambda module, given, out: seen.add(given[0].dtype))
    solution = disentangle.identify(model, 4, attempts=1, time_limit=30)
    assert seen == {torch.float32}
    # Whatever can be had of values in f32, it is not called better than it is.
    truth = disentangle.from_weights(model.state_dict(), "tanh")
    if solution:
        assert disentangle.verify(truth, solution.network, tolerance=1e-6)


def test_a_function_that_returns_a_tensor_will_do():
    truth = disentangle.generate([4, 4, 2], seed=1)
    model = truth.to_torch()
    solution = disentangle.identify(lambda x: model(torch.from_numpy(x)), 4)
    assert solution and disentangle.verify(truth, solution.network)


@pytest.mark.parametrize("layer", [nn.Dropout(0.5), nn.BatchNorm1d(4)])
def test_a_module_in_training_is_refused(layer):
    model = nn.Sequential(nn.Linear(4, 4), nn.Tanh(), layer, nn.Linear(4, 1)).double()
    with pytest.raises(ValueError, match=r"call \.eval\(\)"):
        disentangle.identify(model, 4)


def test_an_error_of_a_module_comes_out():
    model = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 1)).double()
    with pytest.raises(RuntimeError, match="cannot be multiplied"):
        disentangle.identify(model, 4)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "erf", "relu", "leaky_relu", "softplus", "silu", "gelu", "gelu_tanh"])
@pytest.mark.parametrize(("link", "link_range"), [("none", None), ("softmax", None), ("sigmoid", (1, 5)), ("tanh", (-2, 5))])
def test_a_module_of_a_network_has_its_values(activation, link, link_range):
    network = disentangle.generate([5, 4, 3], seed=1, outputs=3, kind="general", activation=activation, link=link,
                                   link_range=link_range)
    x = np.random.default_rng(1).normal(size=(20, 5))
    with torch.no_grad():
        values = network.to_torch()(torch.from_numpy(x)).numpy()
    assert np.abs(values - network(x)).max() < 1e-13


def test_a_trained_module_is_identified():
    truth = disentangle.read(NETWORKS / "diabetes-tanh-10-10-5.safetensors")
    solution = disentangle.identify(truth.to_torch(), input_dim=10)
    assert solution and disentangle.verify(truth, solution.network, tolerance=1e-9)
