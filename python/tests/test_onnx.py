"""ONNX files against onnxruntime."""

import numpy as np
import pytest
from conftest import NETWORKS, needs

import disentangle

onnxruntime = needs("onnxruntime")

FILES = sorted((NETWORKS / "onnx").glob("*.onnx"))
ACTIVATIONS = ["tanh", "sigmoid", "erf", "relu", "leaky_relu", "softplus", "silu", "gelu", "gelu_tanh"]
#: What onnxruntime does not compute in f64; there the reference of ONNX stands for it.
NOT_IN_F64 = {"erf", "leaky_relu", "softplus", "gelu"}
#: Constants in f32: those of onnxruntime's `Gelu` by tanh, of the reference's erf, and the slope of `LeakyRelu`.
ROUNDED = {"gelu_tanh": 1e-6, "erf": 1e-6, "gelu": 1e-6, "leaky_relu": 1e-7}


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_exporters_answer_as_onnxruntime_does(path):
    network, runtime = disentangle.read(path), session(path)
    given = runtime.get_inputs()[0]
    f32 = given.type == "tensor(float)"
    x = np.random.default_rng(1).normal(size=(50, network.input_dim)).astype(np.float32 if f32 else np.float64)
    shape = [-1, *given.shape[1:]]
    output = [out.name for out in runtime.get_outputs() if out.type in ("tensor(float)", "tensor(double)")]
    values = runtime.run(output, {given.name: x.reshape(shape)})[0].reshape(50, -1)
    off = np.abs(values - network(x.astype(float)).reshape(50, -1)).max() / max(1, np.abs(values).max())
    assert off < (2e-6 if f32 else 1e-12)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_files_of_exporters_are_identified(path):
    truth = disentangle.read(path)
    solution = disentangle.identify(truth, truth.input_dim, link=truth.link, time_limit=60)
    assert solution, solution
    assert disentangle.verify(truth, solution.network, tolerance=1e-6)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize(("outputs", "link", "link_range"), [(1, "none", None), (3, "softmax", None), (2, "tanh", (-2, 5))])
def test_what_is_written_agrees_with_runtimes(tmp_path, activation, outputs, link, link_range):
    path = tmp_path / "net.onnx"
    network = disentangle.generate([6, 5, 3], seed=1, outputs=outputs, kind="general", activation=activation, link=link,
                                   link_range=link_range)
    network.save(path)
    x = np.random.default_rng(1).normal(size=(100, 6))
    if activation in NOT_IN_F64:
        needs("onnx")
        from onnx.reference import ReferenceEvaluator

        with pytest.raises(Exception, match="NOT_IMPLEMENTED"):
            session(path)
        values = ReferenceEvaluator(str(path)).run(None, {"x": x})[0]
    else:
        values = session(path).run(None, {"x": x})[0]
    assert values.shape == (100, outputs) and values.dtype == np.float64
    assert np.abs(values - network(x).reshape(100, -1)).max() < ROUNDED.get(activation, 1e-12)


def test_a_found_network_agrees_with_onnxruntime(tmp_path):
    given = session(NETWORKS / "onnx" / "keras-tanh-f64.onnx")
    solution = disentangle.identify(lambda x: given.run(None, {"x": x})[0], input_dim=6)
    assert solution
    solution.network.save(tmp_path / "found.onnx")
    found = session(tmp_path / "found.onnx")
    x = np.random.default_rng(1).normal(size=(1000, 6))
    assert np.abs(given.run(None, {"x": x})[0] - found.run(None, {"x": x})[0]).max() < 1e-12


def test_models_pass_the_checker(tmp_path):
    onnx = needs("onnx")
    for activation in ACTIVATIONS:
        network = disentangle.generate([6, 5, 3], seed=1, outputs=2, activation=activation, link="sigmoid", link_range=(1, 5))
        network.save(tmp_path / "net.onnx")
        onnx.checker.check_model(onnx.load(tmp_path / "net.onnx"), full_check=True)


@pytest.mark.parametrize(
    ("operator", "words"),
    [("Conv", "operator Conv is not read"), ("Sin", "operator Sin is not read"), ("Abs", "operator Abs is not read")],
)
def test_an_operator_that_is_not_read_is_named(tmp_path, operator, words):
    onnx = needs("onnx")
    helper = onnx.helper
    weight = onnx.numpy_helper.from_array(np.ones((2, 3)), "w")
    nodes = [helper.make_node("Gemm", ["x", "w"], ["a"]), helper.make_node(operator, ["a"], ["y"])]
    info = [helper.make_tensor_value_info(name, onnx.TensorProto.DOUBLE, ["n", k]) for name, k in (("x", 2), ("y", 3))]
    onnx.save(helper.make_model(helper.make_graph(nodes, "g", info[:1], info[1:], [weight])), tmp_path / "net.onnx")
    with pytest.raises(ValueError, match=words):
        disentangle.read(tmp_path / "net.onnx")
