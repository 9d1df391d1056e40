"""Networks from samples alone."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import interruptible, needs

import disentangle

RNG = np.random.default_rng(0)


def samples(outputs=1, n=6000, seed=1, activation="relu"):
    truth = disentangle.generate([8, 3], seed=seed, outputs=outputs, kind="centred", activation=activation)
    x = np.random.default_rng(seed).normal(size=(n, 8))
    return truth, x, truth(x)


@pytest.mark.parametrize("method", ["tensor", "exact"])
def test_a_network_is_identified_from_arrays(method):
    truth, x, y = samples(outputs=2)
    fitted = disentangle.fit(x, y, activation="relu", method=method)
    assert fitted and fitted.status == "identified" and fitted.remedy is None
    assert (fitted.units, fitted.samples, fitted.held_out) == (3, 6000, 600)
    assert fitted.error_bound < 1e-6 and fitted.residual <= fitted.accuracy < 1e-10
    assert disentangle.verify(truth, fitted.network, tolerance=1e-12)
    assert fitted.report["schema"] == "disentangle-fit-1" and fitted.report["method"] == method
    assert "activation='relu'" in fitted.report["arguments"]
    assert "identified" in str(fitted) and "<table>" in fitted._repr_html_() and "moments" in fitted._repr_html_()


def test_rows_need_not_be_contiguous_and_one_output_needs_no_column():
    truth, x, y = samples()
    assert y.shape == (6000,)
    found = [disentangle.fit(given, y, activation="relu", units=3) for given in (x, np.asfortranarray(x))]
    assert found[0] and bytes(found[0].network) == bytes(found[1].network)
    assert disentangle.fit(x[::2], y[::2, None], activation="relu", units=3)


def test_outputs_in_single_precision_are_identified_to_their_rounding():
    truth, x, y = samples(n=20_000)
    x = x.astype(np.float32)
    fitted = disentangle.fit(x, truth(x.astype(float)).astype(np.float32), activation="relu", tolerance=1e-4)
    assert fitted, fitted
    assert 1e-16 < disentangle.verify(truth, fitted.network).parameter_error < 1e-5


def test_tensors_of_torch():
    torch = needs("torch")
    truth, x, y = samples()
    assert disentangle.fit(torch.from_numpy(x), torch.from_numpy(y), activation="relu")


def test_what_is_not_there_is_not_identified():
    _, x, y = samples()
    for given in ({"activation": "tanh"}, {"activation": "relu", "units": 2}):
        fitted = disentangle.fit(x, y, attempts=2, **given)
        assert not fitted and fitted.reason and fitted.remedy
    # A network that explains nothing is none.
    shuffled = disentangle.fit(x, RNG.permutation(y), activation="relu", units=3, attempts=1)
    assert shuffled.status == "not_identified" and shuffled.network is None
    noisy = disentangle.fit(x, y + 1e-2 * RNG.normal(size=len(y)), activation="relu", units=3, noise=1e-2, tolerance=0.1)
    assert noisy.status == "identified" and noisy.error_bound > 1e-4


@pytest.mark.parametrize(
    ("given", "error", "says"),
    [
        ({"x": np.zeros(8)}, ValueError, r"x has shape \(8,\)"),
        ({"y": np.zeros((3, 2, 2))}, ValueError, r"\(n,\) or \(n, m\)"),
        ({"y": np.zeros(5)}, ValueError, "y has 5"),
        ({"y": np.full(60, np.nan)}, ValueError, "sample 0"),
        ({"x": np.full((60, 8), "a")}, TypeError, "32 or 64 bits"),
        ({"y": np.zeros(60, dtype=np.float16)}, TypeError, "float16"),
        ({"activation": "quadratic"}, ValueError, "rho = 0"),
        ({"activation": "cosine"}, ValueError, "cosine"),
        ({"depth": 2}, ValueError, "two hidden layers"),
        ({"units": 0}, ValueError, "at least 1"),
        ({"method": "magic"}, ValueError, "tensor, exact, descent"),
        ({"noise": -1.0}, ValueError, "noise"),
        ({"tolerance": float("nan")}, ValueError, "tolerance"),
    ],
)
def test_what_will_not_do_is_said(given, error, says):
    arguments = {"x": np.zeros((60, 8)), "y": np.zeros(60), "activation": "relu"} | given
    with pytest.raises(error, match=says):
        disentangle.fit(arguments.pop("x"), arguments.pop("y"), **arguments)


def test_other_threads_go_on_and_progress_is_told(capfd):
    _, x, y = samples(n=20_000)
    ticks, done = [], threading.Event()

    def tick():
        while not done.wait(0.001):
            ticks.append(time.monotonic())

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        disentangle.fit(x, RNG.permutation(y), activation="relu", units=3, attempts=5, progress=True)
    finally:
        done.set()
        thread.join()
    assert len(ticks) > 10
    said = capfd.readouterr().err
    assert "moments" in said and "start 1 of at most 5" in said and said.count("refinement, 3 units") == 1


@pytest.mark.skipif(os.name != "posix", reason="signals are sent as they are on Unix")
def test_an_interrupt_is_a_keyboard_interrupt():
    code = (
        "import numpy as np, disentangle\n"
        "x = np.random.default_rng(0).normal(size=(20000, 10))\n"
        "try:\n"
        "    disentangle.fit(x, x[::-1, 0] ** 3, activation='tanh', units=5, attempts=100000, progress=True)\n"
        "except KeyboardInterrupt:\n"
        "    print('interrupted')\n"
    )
    run = interruptible([sys.executable, "-c", code], stderr=subprocess.PIPE)
    for line in run.stderr:
        if "refinement" in line:
            break
    run.send_signal(signal.SIGINT)
    out, _ = run.communicate(timeout=60)
    assert out == "interrupted\n" and run.returncode == 0
