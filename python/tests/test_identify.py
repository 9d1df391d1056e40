"""Functions of all kinds are identified, and what is wrong with one is said."""

import json
import os
import signal
import sys
import threading
import time

import numpy as np
import pytest
from conftest import NETWORKS, interruptible, needs

import disentangle


def test_a_function_of_numpy_is_identified():
    rng = np.random.default_rng(1)
    a, b, c = rng.normal(size=(6, 5)), rng.normal(size=(5, 3)), rng.normal(size=3)

    def f(x):
        assert x.shape[1:] == (6,) and x.dtype == np.float64 and x.flags.c_contiguous
        return np.tanh(np.tanh(x @ a + 0.1) @ b - 0.2) @ c + 0.5

    solution = disentangle.identify(f, input_dim=6)
    assert solution and solution.status == "identified" and solution.remedy is None
    assert solution.widths == [5, 3] and solution.error_bound < 1e-6
    assert solution.queries == solution.report["queries"]["total"] > 1000
    assert 0 < solution.seconds_in_f < solution.seconds
    truth = {"0.weight": a.T, "0.bias": np.full(5, 0.1), "2.weight": b.T, "2.bias": np.full(3, -0.2),
             "4.weight": c[None], "4.bias": np.array([0.5])}
    assert disentangle.verify(disentangle.from_weights(truth, "tanh"), solution.network, tolerance=1e-9)
    x = rng.normal(size=(100, 6))
    assert np.abs(solution.network(x) - f(x)).max() < 1e-12


def test_an_equal_seed_gives_an_equal_result(small):
    found = [disentangle.identify(small, 4, seed=3) for _ in range(2)]
    assert bytes(found[0].network) == bytes(found[1].network)


def test_several_outputs_behind_a_softmax():
    truth = disentangle.generate([6, 6, 3], seed=2, outputs=3, kind="general", link="softmax")
    solution = disentangle.identify(truth, 6, output_dim=3)
    assert solution and solution.network.link == "softmax"
    assert disentangle.verify(truth, solution.network)


def test_one_hidden_layer_within_a_domain():
    truth = disentangle.generate([5, 4], seed=2, kind="general")

    def f(x):
        assert np.linalg.norm(x - 1, axis=1).max() <= 3
        return truth(x)

    solution = disentangle.identify(f, 5, depth=1, domain_radius=3.0, center=np.ones(5), batch=100)
    assert solution and disentangle.verify(truth, solution.network)


def test_batches_are_no_larger_than_said(small):
    sizes = []

    def f(x):
        sizes.append(len(x))
        return small(x)[:, None]

    assert disentangle.identify(f, 4, batch=50)
    assert max(sizes) == 50


def test_f_is_called_on_the_thread_that_called(small):
    threads = set()

    def f(x):
        threads.add(threading.get_ident())
        return small(x)

    assert disentangle.identify(f, 4)
    assert threads == {threading.get_ident()}


def test_other_threads_run_while_rust_works(small):
    at_work, counts = threading.Event(), []

    def count():
        at_work.wait()
        begun = time.perf_counter()
        while time.perf_counter() - begun < 0.2:
            counts.append(None)
            time.sleep(0.001)

    thread = threading.Thread(target=count)
    thread.start()
    at_work.set()
    truth = disentangle.generate([20, 20, 4], seed=1, kind="general")
    disentangle.identify(truth, 20)
    thread.join()
    assert len(counts) > 20


class Own(Exception):
    pass


def test_an_exception_in_f_comes_out_as_it_is(small):
    raised = Own("mine")

    def f(x):
        f.calls += 1
        if f.calls > 5:
            raise raised
        return small(x)

    f.calls = 0
    with pytest.raises(Own) as caught:
        disentangle.identify(f, 4)
    assert caught.value is raised and caught.traceback[-1].name == "f"


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (lambda y: np.full_like(y, np.nan), ValueError, "nan at a point of norm"),
        (lambda y: np.where(y > y.min(), y, np.inf), ValueError, "inf at a point of norm"),
        (lambda y: y[:-1], ValueError, "shape (3,) for n = 4"),
        (lambda y: y.sum(), ValueError, "shape () for n = 4"),
        (lambda y: y[None], ValueError, "shape (1, 4)"),
        (lambda y: y.reshape(-1, 1, 1), ValueError, "shape (4, 1, 1)"),
        (lambda y: [str(v) for v in y], TypeError, "must return floats"),
        (lambda y: y.astype(int), TypeError, "must return floats, not int64"),
        (lambda y: y > 0, TypeError, "must return floats, not bool"),
        (lambda y: y + 0j, TypeError, "must return floats, not complex128"),
        (lambda y: None, TypeError, "must return floats, not object: None"),
        (lambda y: [[1.0], [1.0, 2.0], [1.0], [1.0]], ValueError, "inhomogeneous"),
    ],
)
def test_what_is_no_answer_is_named(small, answer, error, words):
    with pytest.raises(error) as caught:
        disentangle.identify(lambda x: answer(small(x)), 4)
    assert words in str(caught.value)


def test_an_answer_that_changes_its_shape_is_named(small):
    shapes = iter([1, 2])

    def f(x):
        return np.repeat(small(x)[:, None], next(shapes), axis=1)

    with pytest.raises(ValueError, match=r"expected \(n,\) or \(n, 1\)"):
        disentangle.identify(f, 4)
    with pytest.raises(ValueError, match=r"expected \(n, 2\)"):
        disentangle.identify(small, 4, output_dim=2)


@pytest.mark.parametrize(
    ("settings", "error", "words"),
    [
        ({"input_dim": 0}, ValueError, "input_dim must be at least 1"),
        ({"input_dim": "4"}, TypeError, "input_dim must be a whole number"),
        ({"seed": "one"}, TypeError, "seed must be a whole number"),
        ({"seed": -1}, TypeError, "seed must be a whole number"),
        ({"depth": 3}, ValueError, "depth must be 1, 2"),
        ({"activation": "cosine"}, ValueError, "unknown activation"),
        ({"activation": "relu", "depth": 2}, ValueError, "not of relu"),
        ({"link": "probit"}, ValueError, "unknown link"),
        ({"link_range": (1, 5)}, ValueError, "link_range needs a link"),
        ({"link": "tanh", "link_range": (5, 1)}, ValueError, "the lower first"),
        ({"link": "softmax"}, ValueError, "softmax needs two outputs"),
        ({"widths": (3, 0)}, ValueError, "widths must be"),
        ({"widths": 3, "depth": 2}, ValueError, "single width"),
        ({"tolerance": 0}, ValueError, "tolerance"),
        ({"max_queries": 0}, ValueError, "max_queries must be at least 1"),
        ({"time_limit": -1}, ValueError, "time_limit must be"),
        ({"time_limit": float("nan")}, ValueError, "time_limit must be"),
        ({"pipeline": "narrow"}, ValueError, "known are wide, entangled, published"),
        ({"center": [0.0, 1.0], "domain_radius": 1.0}, ValueError, "centre has 2 coordinates"),
        ({"resume": True}, ValueError, "resume needs a checkpoint"),
        ({"batch": 0}, ValueError, "batch must be at least 1"),
        ({"unknown": 1}, TypeError, "unknown"),
    ],
)
def test_settings_that_will_not_do_are_named_before_anything_is_asked(small, settings, error, words):
    asked = []

    def f(x):
        asked.append(len(x))
        return small(x)

    with pytest.raises(error) as caught:
        disentangle.identify(f, **({"input_dim": 4} | settings))
    assert words in str(caught.value)
    # How many outputs there are is known only then.
    assert sum(asked) <= (4 if "link" in settings else 0)


def test_what_is_no_function_is_refused():
    with pytest.raises(TypeError, match="must be a function"):
        disentangle.identify(np.zeros(3), 4)


def test_what_is_no_network_is_not_identified():
    solution = disentangle.identify(lambda x: np.sin(3 * x).sum(axis=1) + x[:, 0] ** 2, 3, attempts=1, time_limit=60)
    assert not solution and solution.status != "identified"
    assert solution.reason and solution.remedy
    assert solution.error_bound is None


def test_values_that_depend_on_the_batch_are_named(small):
    solution = disentangle.identify(lambda x: small(x) - small(x).mean(), 4, attempts=1, time_limit=60)
    assert not solution and "depend on the size of the batch" in solution.remedy


def test_a_limit_ends_a_run(small):
    few = disentangle.identify(small, 4, max_queries=100)
    assert few.status == "not_identified" and few.network is None
    assert "limit of 100 queries" in few.reason and "max_queries" in few.remedy
    begun = time.perf_counter()
    late = disentangle.identify(lambda x: (time.sleep(0.02), small(x))[1], 4, time_limit=0.3, batch=10)
    assert time.perf_counter() - begun < 3
    assert late.status != "identified" and "time_limit" in late.remedy


def test_progress_is_lines_where_there_is_no_terminal(small, capfd):
    assert disentangle.identify(small, 4, progress=True)
    shown = capfd.readouterr().err
    assert "lines" in shown and "queries" in shown and "s]" in shown
    assert disentangle.identify(small, 4)
    assert capfd.readouterr().err == ""


def test_a_solution_shows_itself(small):
    solution = disentangle.identify(small, 4)
    assert "verdict           identified (" in str(solution)
    html = solution._repr_html_()
    assert "<table>" in html and "error bound" in html and "lines" in html
    assert json.loads(json.dumps(solution.report))["schema"] == "disentangle-report-1"
    assert "seed=0" in solution.report["arguments"]


def test_a_run_goes_on_from_its_checkpoint(small, tmp_path):
    asked = []

    def f(x, last=None):
        asked.append(len(x))
        if last is not None and sum(asked) > last:
            raise Own
        return small(x)

    with pytest.raises(Own):
        disentangle.identify(lambda x: f(x, 1000), 4, checkpoint=tmp_path)
    first = sum(asked)
    resumed = disentangle.identify(f, 4, checkpoint=tmp_path, resume=True)
    in_two = sum(asked)
    asked.clear()
    whole = disentangle.identify(f, 4)
    assert bytes(resumed.network) == bytes(whole.network)
    # Both asked for the number of outputs; of the first one's the last call was lost.
    assert first > 500 and in_two - sum(asked) < first
    with pytest.raises(ValueError, match="of another run: seed"):
        disentangle.identify(f, 4, checkpoint=tmp_path, seed=1)


def test_a_checkpoint_of_another_function_is_refused(small, tmp_path):
    assert disentangle.identify(small, 4, checkpoint=tmp_path)
    other = disentangle.generate([4, 4, 2], seed=2)
    with pytest.raises(ValueError, match="of another function"):
        disentangle.identify(other, 4, checkpoint=tmp_path)
    with pytest.raises(OSError, match="no checkpoint"):
        disentangle.identify(small, 4, checkpoint=tmp_path / "none", resume=True)


INTERRUPTED = """
import sys, time
import disentangle

folder, questions = sys.argv[1], int(sys.argv[2])
truth = disentangle.generate([4, 4, 2], seed=1)

def f(x):
    f.asked += 1
    if f.asked == questions:
        print("asked", flush=True)
    time.sleep(0.01)
    return truth(x)

f.asked = 0
try:
    disentangle.identify(f, 4, checkpoint=folder, batch=5)
except KeyboardInterrupt:
    print("interrupted", flush=True)
    print(disentangle.identify(truth, 4, checkpoint=folder, resume=questions > 1).status)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent to another process")
@pytest.mark.parametrize("questions", [1, 60])  # the first one, and one after half a second, when some answers are kept
def test_ctrl_c_is_a_keyboard_interrupt_and_leaves_the_checkpoint(tmp_path, questions):
    command = [sys.executable, "-c", INTERRUPTED, str(tmp_path), str(questions)]
    with interruptible(command) as process:
        assert process.stdout.readline() == "asked\n"
        process.send_signal(signal.SIGINT)
        assert process.communicate(timeout=60)[0] == "interrupted\nidentified\n"
    assert process.returncode == 0


def test_a_function_of_jax_is_identified(small):
    jax = needs("jax")
    jax.config.update("jax_enable_x64", True)
    import jax.numpy as jnp

    w = small.weights

    @jax.jit
    def f(x):
        y = jnp.tanh(jnp.tanh(x @ w["0.weight"].T + w["0.bias"]) @ w["2.weight"].T + w["2.bias"])
        return (y @ w["4.weight"].T + w["4.bias"])[:, 0]

    solution = disentangle.identify(lambda x: f(x), 4, batch=4096)
    assert solution and disentangle.verify(small, solution.network)


def test_a_trained_network_is_identified():
    truth = disentangle.read(NETWORKS / "wine-sigmoid-13-10-4.safetensors")
    solution = disentangle.identify(truth, 13, activation="sigmoid")
    assert solution and disentangle.verify(truth, solution.network)
