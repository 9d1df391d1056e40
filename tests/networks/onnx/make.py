"""Writes the ONNX files of this folder with the exporters that people use, and what onnxruntime says they answer.

    python3 make.py torch      # torch, onnxscript, onnxruntime
    python3 make.py keras      # tensorflow, tf2onnx, onnxruntime
    python3 make.py sklearn    # scikit-learn, skl2onnx, onnxruntime

Beside NAME.onnx it leaves NAME.json: points, the output that is read, and its values.
"""
import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

FOLDER = Path(__file__).parent
INPUTS = 6


def record(name, shape, dtype, output=None, **facts):
    """Asks onnxruntime for the values of NAME.onnx at a few points."""
    session = onnxruntime.InferenceSession(FOLDER / f"{name}.onnx", providers=["CPUExecutionProvider"])
    points = np.random.default_rng(7).normal(size=(8, INPUTS)).astype(dtype)
    wanted = [output or session.get_outputs()[0].name]
    feed = {session.get_inputs()[0].name: points.reshape(8, *shape)}
    values = np.asarray(session.run(wanted, feed)[0], dtype=float).reshape(8, -1)
    told = {"points": points.astype(float).tolist(), "values": values.tolist(), **facts}
    (FOLDER / f"{name}.json").write_text(json.dumps(told, indent=1) + "\n")


def forget_folders(path):
    """Takes the stack traces off the nodes: they name the folders of the machine that exported."""
    import onnx

    model = onnx.load(path, load_external_data=False)
    for part in (*model.graph.node, *model.graph.value_info, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
    path.write_bytes(model.SerializeToString())


def from_torch():
    """Both of PyTorch's exporters: by scripts, and by torch.export (`dynamo`)."""
    import torch
    from torch import nn

    class Erf(nn.Module):
        def forward(self, x):
            return torch.erf(x)

    def export(name, model, dtype, dynamo, shape=(INPUTS,), **options):
        model = model.to(dtype).eval()
        example = torch.zeros(2, *shape, dtype=dtype)
        path = FOLDER / f"{name}.onnx"
        if dynamo:
            batch = torch.export.Dim("batch")
            torch.onnx.export(model, (example,), path, dynamo=True, dynamic_shapes=({0: batch},), verbose=False, **options)
        else:
            axes = {"x": {0: "batch"}, "y": {0: "batch"}}
            torch.onnx.export(model, (example,), path, dynamo=False, input_names=["x"], output_names=["y"],
                              dynamic_axes=axes, **options)
        forget_folders(path)
        numpy_dtype = np.float64 if dtype == torch.float64 else np.float32
        precision = "f64" if dtype == torch.float64 else "f32"
        record(name, shape, numpy_dtype, exporter=f"torch {torch.__version__.split('+')[0]}", precision=precision)

    torch.manual_seed(1)
    tanh = nn.Sequential(nn.Linear(INPUTS, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1))
    export("torch-script-tanh", tanh, torch.float32, False, opset_version=13)
    export("torch-dynamo-tanh", tanh, torch.float32, True)
    export("torch-dynamo-tanh-f64", tanh, torch.float64, True, external_data=False)
    softmax = nn.Sequential(nn.Flatten(), nn.Linear(INPUTS, 5), nn.Sigmoid(), nn.Linear(5, 2), nn.Sigmoid(),
                            nn.Linear(2, 3), nn.Softmax(dim=1))
    export("torch-script-flatten-softmax", softmax, torch.float32, False, (2, 3))
    export("torch-dynamo-flatten-softmax", softmax, torch.float32, True, (2, 3))
    erf = nn.Sequential(nn.Linear(INPUTS, 4), Erf(), nn.Dropout(0.5), nn.Linear(4, 2, bias=False))
    export("torch-script-erf", erf, torch.float32, False)
    export("torch-dynamo-erf", erf, torch.float32, True)
    class Squeeze(nn.Module):
        def forward(self, x):
            return x.squeeze(-1)

    relu = nn.Sequential(nn.Linear(INPUTS, 4), nn.ReLU(), nn.Linear(4, 1))
    export("torch-script-relu-squeeze", nn.Sequential(*relu, Squeeze()), torch.float32, False)
    export("torch-dynamo-relu-squeeze", nn.Sequential(*relu, Squeeze()), torch.float32, True)
    export("torch-dynamo-relu-flatten", nn.Sequential(*relu, nn.Flatten(0)), torch.float32, True)
    silu = nn.Sequential(nn.Linear(INPUTS, 4), nn.SiLU(), nn.Linear(4, 3))
    export("torch-script-silu", silu, torch.float32, False)
    export("torch-dynamo-silu", silu, torch.float32, True)
    sigmoid = nn.Sequential(nn.Linear(INPUTS, 5), nn.Tanh(), nn.Linear(5, 2), nn.Sigmoid())
    export("torch-script-sigmoid", sigmoid, torch.float32, False)
    export("torch-dynamo-sigmoid", sigmoid, torch.float32, True)
    gelu = nn.Sequential(nn.Linear(INPUTS, 4), nn.GELU(), nn.Linear(4, 1))
    export("torch-script-gelu", gelu, torch.float32, False, opset_version=20)
    # Its first weights are large enough to come in a file beside it.
    beside = nn.Sequential(nn.Linear(INPUTS, 60), nn.Tanh(), nn.Linear(60, 1))
    export("torch-dynamo-beside", beside, torch.float32, True)
    for data in FOLDER.glob("*.onnx.data"):
        if data.stat().st_size == 0:
            data.unlink()


def from_keras():
    """Keras models by tf2onnx."""
    import tensorflow as tf
    import tf2onnx
    from tensorflow import keras

    def export(name, dtype, *layers):
        keras.utils.set_random_seed(1)
        inputs = keras.Input((INPUTS,), dtype=dtype, name="x")
        value = inputs
        for units, activation in layers:
            value = keras.layers.Dense(units, activation=activation, dtype=dtype, bias_initializer="random_normal")(value)
        model = keras.Model(inputs, value)
        function = tf.function(model, input_signature=[tf.TensorSpec((None, INPUTS), dtype, name="x")])
        tf2onnx.convert.from_function(function, function.input_signature, opset=15, output_path=str(FOLDER / f"{name}.onnx"))
        precision = {"float64": "f64", "float32": "f32"}[dtype]
        record(name, (INPUTS,), dtype, exporter=f"tf2onnx {tf2onnx.__version__}", precision=precision)

    export("keras-tanh", "float32", (5, "tanh"), (3, "tanh"), (1, None))
    export("keras-tanh-f64", "float64", (5, "tanh"), (3, "tanh"), (1, None))
    export("keras-sigmoid-softmax", "float32", (5, "sigmoid"), (2, "sigmoid"), (3, "softmax"))
    export("keras-relu", "float32", (5, "relu"), (2, None))


def from_sklearn():
    """Scikit-learn's perceptrons by skl2onnx."""
    import skl2onnx
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    rng = np.random.default_rng(3)
    x = rng.normal(size=(200, INPUTS)) * 2 + 1
    y = np.tanh(x @ rng.normal(size=(INPUTS, 3)))

    def export(name, model, precision="f32", output=None, **options):
        kind = DoubleTensorType if precision == "f64" else FloatTensorType
        onx = skl2onnx.convert_sklearn(model, initial_types=[("X", kind([None, INPUTS]))], **options)
        (FOLDER / f"{name}.onnx").write_bytes(onx.SerializeToString())
        dtype = np.float64 if precision == "f64" else np.float32
        record(name, (INPUTS,), dtype, output, exporter=f"skl2onnx {skl2onnx.__version__}", precision=precision)

    options = {"hidden_layer_sizes": (5, 3), "max_iter": 300, "random_state": 1, "solver": "lbfgs"}
    tanh = MLPRegressor(activation="tanh", **options).fit(x, y[:, 0])
    export("sklearn-tanh", tanh)
    export("sklearn-tanh-f64", tanh, "f64")
    export("sklearn-logistic-2", MLPRegressor(activation="logistic", **options).fit(x, y[:, :2]))
    scaled = make_pipeline(StandardScaler(), MLPRegressor(activation="tanh", **options)).fit(3 * x + 1, y[:, 0])
    export("sklearn-scaled", scaled)  # one operator for the scaler; in f64 it is two
    scaled = make_pipeline(StandardScaler(), MLPRegressor(activation="tanh", **options)).fit(x, y[:, 0])
    export("sklearn-scaled-f64", scaled, "f64")
    labels = np.argmax(y, axis=1)
    classifier = MLPClassifier(activation="tanh", **options).fit(x, labels)
    export("sklearn-softmax", classifier, output="probabilities", options={id(classifier): {"zipmap": False}})


{"torch": from_torch, "keras": from_keras, "sklearn": from_sklearn}[sys.argv[1]]()
