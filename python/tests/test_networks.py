"""Networks, their files, and the command line."""

import os
import pickle
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import NETWORKS

import disentangle


def test_weights_go_out_and_in():
    network = disentangle.generate([5, 4, 3], seed=1, outputs=2, kind="general", activation=["tanh", "erf"], link="sigmoid")
    weights = network.weights
    shapes = {"0.weight": (4, 5), "0.bias": (4,), "2.weight": (3, 4), "2.bias": (3,), "4.weight": (2, 3), "4.bias": (2,)}
    assert {name: array.shape for name, array in weights.items()} == shapes
    assert (network.input_dim, network.output_dim, network.widths) == (5, 2, [4, 3])
    assert (network.activations, network.link, network.link_range) == (["tanh", "erf"], "sigmoid", None)
    assert network.parameter_count == sum(array.size for array in weights.values())
    again = disentangle.from_weights(weights, network.activations, link="sigmoid")
    assert bytes(again) == bytes(network) == bytes(pickle.loads(pickle.dumps(network)))
    assert repr(network) == "<disentangle.Network 5-4-3 tanh, erf, 2 outputs, link sigmoid>"


def test_values_are_those_of_the_weights():
    network = disentangle.generate([5, 4, 3], seed=1, kind="general")
    w = network.weights
    x = np.random.default_rng(1).normal(size=(20, 5))
    y = np.tanh(np.tanh(x @ w["0.weight"].T + w["0.bias"]) @ w["2.weight"].T + w["2.bias"])
    assert np.abs(network(x) - (y @ w["4.weight"].T + w["4.bias"])[:, 0]).max() < 1e-14
    assert network(x[::2].astype(np.float32)).shape == (10,)
    assert isinstance(network(x[0]), float) and network(x[0].tolist()) == network(x)[0]
    assert network(np.zeros((0, 5))).shape == (0,)
    for bad in (np.zeros(4), np.zeros((2, 4)), np.zeros((1, 1, 5)), 1.0):
        with pytest.raises(ValueError, match=r"\(n, 5\)"):
            network(bad)


@pytest.mark.parametrize("name", ["net.safetensors", "net.onnx"])
def test_files_are_written_and_read(tmp_path, name):
    network = disentangle.generate([5, 4, 3], seed=1, kind="general")
    network.save(tmp_path / name)
    read = disentangle.read(tmp_path / name)
    assert bytes(read) == bytes(network)
    assert disentangle.verify(str(tmp_path / name), network).parameter_error == 0


def test_what_differs_is_said():
    networks = [disentangle.generate([5, 4, 3], seed=seed, kind="general") for seed in (1, 2)]
    different = disentangle.verify(*networks)
    assert not different and different.parameter_error > 0.1 and different.widths_match
    assert not disentangle.verify(networks[0], disentangle.generate([5, 4], seed=1)).widths_match
    with pytest.raises(ValueError, match="tolerance"):
        disentangle.verify(*networks, tolerance=-1)


def test_files_that_will_not_do_are_named(tmp_path):
    with pytest.raises(OSError, match="no-such-file"):
        disentangle.read(tmp_path / "no-such-file")
    (tmp_path / "bad").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="not a safetensors file"):
        disentangle.read(tmp_path / "bad")
    with pytest.raises(OSError, match="cannot write"):
        disentangle.generate([2, 2], seed=1).save(tmp_path / "no-such-folder" / "net.onnx")
    weights = disentangle.generate([5, 4], seed=1).weights
    with pytest.raises(ValueError, match="missing"):
        disentangle.from_weights({"0.weight": weights["0.weight"]}, "tanh")
    with pytest.raises(ValueError, match="unknown activation"):
        disentangle.from_weights(weights, "cosine")
    with pytest.raises(ValueError, match="not finite"):
        disentangle.from_weights(weights | {"0.bias": np.full(4, np.nan)}, "tanh")


PROGRAM = Path(sysconfig.get_path("scripts")) / "disentangle"


def program(*arguments):
    return subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def test_the_program_is_on_the_path_and_has_its_exit_codes(tmp_path):
    assert shutil.which("disentangle", path=str(PROGRAM.parent))
    truth, found, report = NETWORKS / "diabetes-tanh-10-10-5.safetensors", tmp_path / "found.onnx", tmp_path / "report.json"
    assert program("--version").stdout == f"disentangle {disentangle.__version__}\n"
    done = program("identify", "--network", truth, "--out", found, "--report", report)
    assert done.returncode == 0 and done.stdout.startswith("verdict           identified"), done
    assert f'"--out",\n    "{found}"' in report.read_text()
    assert program("verify", truth, found).returncode == 0
    assert program("identify", "--network", truth, "--max-queries", 10).returncode == 1
    unusable = program("verify", truth, tmp_path / "none")
    assert unusable.returncode == 2 and unusable.stderr.startswith("error: cannot read")
    wrong = program("identify", "--no-such-option")
    assert wrong.returncode == 2 and "Usage: disentangle identify" in wrong.stderr
    module = subprocess.run([sys.executable, "-m", "disentangle", "--help"], capture_output=True, text=True)
    assert module.returncode == 0 and "Usage: disentangle <COMMAND>" in module.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals are sent to another process")
@pytest.mark.parametrize(("arguments", "code"), [(("identify",), 130), (("serve",), -signal.SIGINT)])
def test_ctrl_c_ends_the_program(tmp_path, arguments, code):
    # A black box that never answers; and a server that waits for points.
    rest = ["--process", "sleep 60", "--input-dim", "3"]
    if arguments == ("serve",):
        rest = ["--network", str(NETWORKS / "diabetes-tanh-10-10-5.safetensors")]
    with subprocess.Popen([PROGRAM, *arguments, *rest], stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        time.sleep(1.5)
        process.send_signal(signal.SIGINT)
        process.wait(timeout=20)
    assert process.returncode == code


def test_the_stubs_name_what_there_is():
    stub = (Path(disentangle.__file__).parent / "_native.pyi").read_text()
    from disentangle import _native

    for name in dir(_native):
        if not name.startswith("__"):
            assert f"def {name}(" in stub or f"class {name}:" in stub, name
    for name in vars(_native.Network):
        if not name.startswith("__"):
            assert f"def {name}(" in stub, name
