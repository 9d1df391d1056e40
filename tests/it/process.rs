//! The process oracle with real children, most of them a few lines of Python without NumPy.

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use disentangle::network::{Activation, Class, Link, Network, TwoLayer};
use disentangle::oracle::process::serve;
use disentangle::oracle::{
    BatchTrouble, Deadline, Meter, NetworkOracle, Oracle, OracleError, ProcessError, ProcessFormat,
    ProcessOracle, ProcessSettings, Silent,
};
use disentangle::stencil::{GradientScheme, HessianScheme};
use nalgebra::{DMatrix, DVector};
use tempfile::TempDir;

use crate::common::python_can;

/// Long enough for an interpreter to start on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A folder with `child.py` in it.
struct Script {
    dir: TempDir,
}

impl Script {
    fn new(code: &str) -> Option<Self> {
        python_can("").then(|| {
            let dir = tempfile::tempdir().expect("a folder");
            fs::write(dir.path().join("child.py"), code).expect("a file");
            Script { dir }
        })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Runs it, in that folder.
    fn settings(&self, d: usize) -> ProcessSettings {
        settings(&format!("cd '{}' && exec python3 child.py", self.dir.path().display()), d)
    }
}

fn settings(command: &str, d: usize) -> ProcessSettings {
    ProcessSettings { timeout: PATIENCE, restarts: 0, ..ProcessSettings::new(command, d) }
}

fn spawn(settings: ProcessSettings) -> ProcessOracle {
    ProcessOracle::spawn(settings).expect("a shell")
}

fn points(d: usize, n: usize) -> DMatrix<f64> {
    DMatrix::from_fn(d, n, |i, k| ((k * d + i) as f64 * 0.37).sin() / (1 + k % 7) as f64)
}

fn error(oracle: &mut ProcessOracle, points: &DMatrix<f64>) -> ProcessError {
    match oracle.values(points) {
        Err(OracleError::Process(error)) => error,
        other => panic!("an error of the process expected, got {other:?}"),
    }
}

/// What `command` makes of three points of one coordinate.
fn failure(command: &str) -> ProcessError {
    error(&mut spawn(settings(command, 1)), &points(1, 3))
}

fn assert_same_bits(found: &DVector<f64>, expected: &DVector<f64>) {
    assert_eq!(found.len(), expected.len());
    for (k, (a, b)) in found.iter().zip(expected).enumerate() {
        assert_eq!(a.to_bits(), b.to_bits(), "value {k}: {a} is not {b}");
    }
}

#[test]
fn a_shell_loop_answers_line_by_line() {
    let mut oracle = spawn(settings("while read -r x y; do echo \"$y\"; done", 2));
    assert_eq!(oracle.input_dim(), 2);
    for n in [1, 0, 40, 3] {
        let points = points(2, n);
        let values = oracle.values(&points).expect("values");
        assert_same_bits(&values, &points.row(1).transpose());
    }
}

#[test]
fn a_python_child_answers_many_batches() {
    let code = "
import sys
for line in sys.stdin:
    x = [float(word) for word in line.split()]
    print(x[0] * x[1] - x[2], flush=True)
";
    let Some(script) = Script::new(code) else { return };
    let mut oracle = spawn(script.settings(3));
    for n in [1, 1000, 2, 500] {
        let points = points(3, n);
        let expected = DVector::from_iterator(n, points.column_iter().map(|x| x[0] * x[1] - x[2]));
        assert_same_bits(&oracle.values(&points).expect("values"), &expected);
    }
}

#[test]
fn a_command_that_dies_at_once_says_why() {
    let error = failure("echo the model is missing >&2; exit 3");
    let ProcessError::Ended { status, answered: 0, asked: 3, starts: 1, stderr } = &error else {
        panic!("{error:?}")
    };
    assert!(status.contains('3'), "{status}");
    assert_eq!(stderr.0, "the model is missing");
    assert!(error.to_string().contains("the model is missing"), "{error}");
}

#[test]
fn a_command_that_does_not_exist_says_so() {
    let error = failure("/nowhere/to-be-found --at all").to_string();
    assert!(error.contains("127") && error.contains("to-be-found"), "{error}");
}

#[test]
fn a_child_killed_by_a_signal_says_so() {
    let error = failure("kill -9 $$").to_string();
    assert!(error.contains("signal: 9"), "{error}");
}

#[test]
fn no_inputs_are_refused() {
    let refused = ProcessOracle::spawn(settings("cat", 0)).err();
    assert!(matches!(refused, Some(OracleError::Process(ProcessError::NoInputs))), "{refused:?}");
}

/// Answers what it reads at once by `ANSWER`, a function of a list of points.
const BATCHES: &str = "
import os, math
while text := os.read(0, 1 << 20):
    points = [[float(word) for word in line.split()] for line in text.decode().splitlines()]
    print(*ANSWER(points), sep='\\n', flush=True)
";

fn in_batches(answer: &str) -> Option<Script> {
    Script::new(&format!("import sys, random\nANSWER = {answer}\n{BATCHES}"))
}

#[test]
fn no_batch_is_larger_than_told() {
    let Some(script) =
        in_batches("lambda points: [x for x, in points] if len(points) < 4 else sys.exit(1)")
    else {
        return;
    };
    let points = points(1, 20);
    let batch = NonZeroUsize::new(3);
    let mut oracle = spawn(ProcessSettings { batch, ..script.settings(1) });
    assert_same_bits(&oracle.values(&points).expect("values"), &points.row(0).transpose());

    let mut oracle = spawn(script.settings(1));
    let failure = error(&mut oracle, &points);
    assert_eq!(oracle.batch_trouble(Some(&failure)), Some(BatchTrouble::Fails));
    // One that answers nothing at all has another trouble.
    let mut oracle = spawn(settings("exit 3", 1));
    let failure = error(&mut oracle, &points);
    assert_eq!(oracle.batch_trouble(Some(&failure)), None);
}

#[test]
fn values_that_depend_on_the_batch_are_told_from_noise() {
    // With these seeds one point in eight is answered twice alike by chance, alone and among others.
    let noise_of = |seed: u64| {
        format!(
            "(random.seed({seed}), lambda points: [math.tanh(x) + random.gauss(0, 0.1) for x, in points])[1]"
        )
    };
    for (answer, dependent) in [
        ("lambda points: [x - sum(x for x, in points) / len(points) for x, in points]", true),
        ("lambda points: [points[0][0]] + [0.5 for x in points[1:]]", true),
        ("lambda points: [points[0][0]] + [math.nan for x in points[1:]]", true),
        ("lambda points: [math.tanh(x) for x, in points]", false),
        (&noise_of(0), false),
        (&noise_of(22), false),
    ] {
        let Some(script) = in_batches(answer) else { return };
        let trouble = spawn(script.settings(1)).batch_trouble(None);
        let found = matches!(trouble, Some(BatchTrouble::Differs { .. }));
        assert_eq!(found, dependent, "{answer}: {trouble:?}");
    }
}

#[test]
fn the_program_names_a_batch_that_goes_wrong_and_what_helps() {
    let first_right = "lambda points: [math.tanh(x - 0.5 * y + 0.1) + 0.7 * math.tanh(y + 0.3 * x) \
                       for x, y in points[:1]] + [0.5 for x in points[1:]]";
    let dies =
        "lambda points: [math.tanh(x - y) for x, y in points] if len(points) < 2 else sys.exit(1)";
    let run = |answer: &str, more: &[&str]| {
        let script = in_batches(answer)?;
        let command = script.settings(2).command;
        let output = Command::new(env!("CARGO_BIN_EXE_disentangle"))
            .args(["identify", "--quiet", "--process", &command, "--input-dim", "2"])
            .args(more)
            .output();
        let output = output.expect("the program runs");
        let said = [output.stdout, output.stderr].concat();
        Some((output.status.code(), String::from_utf8_lossy(&said).into_owned()))
    };
    let Some((code, said)) = run(first_right, &["--max-queries", "100000"]) else { return };
    assert!(code == Some(1) && said.contains("depend on the size of the batch"), "{said}");
    assert!(said.contains("--batch 1"), "{said}");
    let Some((code, said)) = run(dies, &["--restarts", "0"]) else { return };
    assert!(code == Some(2) && said.contains("a point alone, but not a batch"), "{said}");
    for answer in [first_right, dies] {
        let Some((code, said)) = run(answer, &["--batch", "1"]) else { return };
        assert_eq!(code, Some(0), "{said}");
    }
}

/// Notes the first point it sees, answers 300 points, dies.
const SHORT_LIVED: &str = "
import sys
for k in range(300):
    x = sys.stdin.readline().strip()
    if k == 0:
        open('firsts', 'a').write(x + '\\n')
    print(x, flush=True)
";

#[test]
fn a_restarted_child_is_asked_only_what_is_missing() {
    let Some(script) = Script::new(SHORT_LIVED) else { return };
    let mut oracle = spawn(ProcessSettings { restarts: 3, ..script.settings(1) });
    let points = points(1, 1000);
    let values = oracle.values(&points).expect("values");
    assert_same_bits(&values, &points.row(0).transpose());
    let firsts: Vec<f64> = fs::read_to_string(script.path("firsts"))
        .expect("the child's notes")
        .lines()
        .map(|line| line.parse().expect("a number"))
        .collect();
    assert_eq!(firsts, [points[0], points[300], points[600], points[900]]);
}

#[test]
fn a_child_that_keeps_dying_is_given_up() {
    let Some(script) = Script::new(SHORT_LIVED) else { return };
    let mut oracle = spawn(ProcessSettings { restarts: 2, ..script.settings(1) });
    let error = error(&mut oracle, &points(1, 1000));
    let counts = matches!(error, ProcessError::Ended { answered: 900, asked: 1000, starts: 3, .. });
    assert!(counts, "{error:?}");
}

/// Notes each copy's points in a file of its own; one that sees a point of `dies` first makes a file of that name, and dies.
const NOTED: &str = "
import os, sys
for line in sys.stdin:
    x = float(line)
    if x in DIES and not os.path.exists(f'died {x}'):
        open(f'died {x}', 'w').close()
        sys.exit(3)
    with open(f'seen {os.getpid()}', 'a') as seen:
        seen.write(line)
    print(3 * x, flush=True)
";

fn copies(count: usize, settings: ProcessSettings) -> ProcessSettings {
    ProcessSettings { copies: NonZeroUsize::new(count).expect("some"), ..settings }
}

#[test]
fn copies_share_every_batch_in_order() {
    let Some(script) = Script::new(&format!("DIES = []\n{NOTED}")) else { return };
    let mut oracle = spawn(copies(3, script.settings(1)));
    for n in [1, 0, 2, 100, 7] {
        let points = points(1, n);
        assert_same_bits(
            &oracle.values(&points).expect("values"),
            &(3.0 * points.row(0).transpose()),
        );
    }
    let seen =
        fs::read_dir(script.path("")).expect("a folder").map(|file| file.expect("a file").path());
    let mut counts: Vec<usize> = seen
        .filter(|path| path.to_string_lossy().contains("seen"))
        .map(|path| fs::read_to_string(path).expect("notes").lines().count())
        .collect();
    counts.sort_unstable();
    // A point alone goes to the first copy, two go to the first two, and the shares of the rest end at whole parts of thirds.
    assert_eq!(counts, [1 + 33 + 2, 1 + 1 + 33 + 2, 34 + 3]);
}

#[test]
fn a_copy_that_dies_is_started_again_alone() {
    // The last point of the first share, one in the middle of the second.
    let Some(script) = Script::new(&format!("DIES = [9.0, 14.0]\n{NOTED}")) else { return };
    let points = DMatrix::from_fn(1, 30, |_, k| k as f64);
    let mut oracle = spawn(ProcessSettings { restarts: 1, ..copies(3, script.settings(1)) });
    assert_same_bits(&oracle.values(&points).expect("values"), &(3.0 * points.row(0).transpose()));
    let seen =
        fs::read_dir(script.path("")).expect("a folder").map(|file| file.expect("a file").path());
    let seen = seen.filter(|path| path.to_string_lossy().contains("seen"));
    let mut firsts: Vec<f64> = seen
        .map(|path| fs::read_to_string(path).expect("notes"))
        .map(|notes| notes.lines().next().expect("a point").trim().parse().expect("a number"))
        .collect();
    firsts.sort_by(f64::total_cmp);
    assert_eq!(firsts, [0.0, 9.0, 10.0, 14.0, 20.0]);
}

#[test]
fn a_copy_that_keeps_dying_is_named_and_the_others_are_not_waited_for() {
    let code = "
import sys, time
for line in sys.stdin:
    if float(line) == 14.0:
        sys.exit('out of luck')
    if float(line) > 20.0:
        time.sleep(600)
    print(line, end='', flush=True)
";
    let Some(script) = Script::new(code) else { return };
    let points = DMatrix::from_fn(1, 30, |_, k| k as f64);
    let settings = ProcessSettings { timeout: Duration::from_secs(600), ..script.settings(1) };
    let mut oracle = spawn(ProcessSettings { restarts: 1, ..copies(3, settings) });
    let begun = Instant::now();
    let error = error(&mut oracle, &points);
    assert!(begun.elapsed() < Duration::from_secs(300));
    let said = error.to_string();
    assert!(said.contains("(copy 2 of 3) ended") && said.contains("started 2 times"), "{said}");
    assert!(said.contains("out of luck"), "{said}");
    let ProcessError::Copy { copy: 2, copies: 3, .. } = error else { panic!("{error:?}") };
    // What the third one was asked for is no answer to the next batch.
    let fresh = DMatrix::from_fn(1, 6, |_, k| -1.0 - k as f64);
    assert_same_bits(&oracle.values(&fresh).expect("values"), &fresh.row(0).transpose());
}

#[test]
fn a_child_that_dies_between_frames_is_asked_only_what_is_missing() {
    let code = "
import sys, struct
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
n, d = struct.unpack('<II', stdin.read(8))
x = stdin.read(8 * n * d)
open('asked', 'a').write(f'{n}\\n')
stdout.write(struct.pack('<I', n))
stdout.write(x[:8 * 700])
stdout.flush()
";
    let Some(script) = Script::new(code) else { return };
    let format = ProcessFormat::Binary;
    let mut oracle = spawn(ProcessSettings { restarts: 3, format, ..script.settings(1) });
    let points = points(1, 1000);
    let values = oracle.values(&points).expect("values");
    assert_same_bits(&values, &points.row(0).transpose());
    assert_eq!(fs::read_to_string(script.path("asked")).expect("notes"), "1000\n300\n");
}

#[test]
fn a_child_that_dies_within_a_number_is_asked_for_it_again() {
    let code = "
import sys, struct
stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
n, d = struct.unpack('<II', stdin.read(8))
x = stdin.read(8 * n * d)
stdout.write((struct.pack('<I', n) + x)[:4 + 8 * 700 + 3])
stdout.flush()
";
    let Some(script) = Script::new(code) else { return };
    let format = ProcessFormat::Binary;
    let mut oracle = spawn(ProcessSettings { restarts: 3, format, ..script.settings(1) });
    let points = points(1, 1000);
    // The second child answers 300 of 300 and dies later.
    let values = oracle.values(&points).expect("values");
    assert_same_bits(&values, &points.row(0).transpose());

    // A header that is cut off is no answer at all, however often.
    let short = ProcessSettings { restarts: 1, format, ..settings("head -c 3 /dev/zero", 1) };
    let error = error(&mut spawn(short), &points);
    let none = matches!(error, ProcessError::Ended { answered: 0, asked: 1000, starts: 2, .. });
    assert!(none, "{error:?}");
}

#[test]
fn a_late_answer_is_not_taken_for_the_next() {
    let dir = tempfile::tempdir().expect("a folder");
    let flag = dir.path().join("flag");
    // The first child answers wrongly, and when nobody waits any more.
    let command =
        format!("test -e '{0}' && exec cat; touch '{0}'; sleep 0.6; echo 99; cat", flag.display());
    let timeout = Duration::from_millis(300);
    let mut oracle = spawn(ProcessSettings { timeout, ..settings(&command, 1) });
    let late = error(&mut oracle, &points(1, 1));
    assert!(matches!(late, ProcessError::TimeOut { answered: 0, .. }), "{late:?}");
    thread::sleep(Duration::from_millis(600));
    let points = points(1, 2);
    assert_same_bits(&oracle.values(&points).expect("values"), &points.row(0).transpose());
}

#[test]
fn noise_on_stderr_is_no_answer() {
    let timeout = Duration::from_secs(1);
    let mut oracle = spawn(ProcessSettings { timeout, ..settings("yes working >&2", 1) });
    let start = Instant::now();
    let error = error(&mut oracle, &points(1, 3));
    assert!(matches!(&error, ProcessError::TimeOut { .. }), "{error:?}");
    assert!(error.to_string().contains("working") && error.to_string().len() < 1000, "{error}");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
}

#[test]
fn a_deadline_comes_before_the_time_out() {
    for command in ["exec sleep 60", "while read -r x; do echo 1; sleep 0.05; done"] {
        let deadline = Some(Deadline::after(Duration::from_millis(300)));
        let mut oracle = spawn(ProcessSettings { deadline, ..settings(command, 1) });
        let start = Instant::now();
        let late = oracle.values(&points(1, 1000));
        assert!(matches!(late, Err(OracleError::TimeLimit(_))), "{late:?}");
        assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    }
}

#[test]
fn a_cut_leash_ends_the_process_and_starts_no_other() {
    let mut oracle = spawn(ProcessSettings { restarts: 5, ..settings("exec sleep 60", 1) });
    let leash = oracle.leash();
    let start = Instant::now();
    let killer = thread::spawn(move || {
        thread::sleep(Duration::from_millis(200));
        leash.kill();
    });
    let error = error(&mut oracle, &points(1, 3));
    assert!(matches!(error, ProcessError::Ended { starts: 1, .. }), "{error:?}");
    assert!(start.elapsed() < PATIENCE, "{:?}", start.elapsed());
    killer.join().expect("no panic");
    let error = self::error(&mut oracle, &points(1, 3));
    assert!(matches!(error, ProcessError::Start { .. }), "{error:?}");
}

#[test]
fn silence_ends_in_time_with_a_hint() {
    for command in ["exec sleep 60", "exec 0<&-; sleep 60", "sleep 60 & cat > /dev/null"] {
        let timeout = Duration::from_millis(300);
        let mut oracle = spawn(ProcessSettings { timeout, ..settings(command, 1) });
        let start = Instant::now();
        // More than the pipe holds: the writer is stuck, too.
        let error = error(&mut oracle, &points(1, 100_000));
        let elapsed = start.elapsed();
        assert!(matches!(error, ProcessError::TimeOut { answered: 0, .. }), "{error:?}");
        assert!(error.to_string().contains("flush"), "{error}");
        assert!(timeout <= elapsed && elapsed < PATIENCE, "{command}: {elapsed:?}");
    }
}

#[test]
fn a_child_that_does_not_flush_times_out() {
    let code = "
import sys
# As print does unless PYTHONUNBUFFERED is set.
out = open(1, 'w')
for line in sys.stdin:
    print(float(line), file=out)
";
    let Some(script) = Script::new(code) else { return };
    let timeout = Duration::from_secs(1);
    let mut oracle = spawn(ProcessSettings { timeout, ..script.settings(1) });
    let error = error(&mut oracle, &points(1, 10));
    assert!(matches!(error, ProcessError::TimeOut { .. }), "{error:?}");
}

#[test]
fn too_few_answers_are_counted() {
    let error = failure("head -n 2");
    let short = matches!(error, ProcessError::Ended { answered: 2, asked: 3, .. });
    assert!(short, "{error:?}");
    assert!(error.to_string().contains("after 2 of 3 answers"), "{error}");
}

#[test]
fn too_many_answers_are_noticed() {
    let error = failure("yes 1");
    assert!(matches!(error, ProcessError::Excess(_)), "{error:?}");

    // One more than asked is noticed before the next batch, once it has come in.
    let mut oracle = spawn(settings("read -r x; echo 1; sleep 0.2; echo 2; exec cat", 1));
    oracle.values(&points(1, 1)).expect("a value");
    thread::sleep(Duration::from_millis(1500));
    let excess = self::error(&mut oracle, &points(1, 1));
    assert!(matches!(&excess, ProcessError::Excess(found) if found == "`2`"), "{excess:?}");
}

#[test]
fn garbage_is_shown() {
    let error = failure("read -r x; echo 1; echo 'np.float64(2.5)'; exec cat");
    let shown = matches!(
        &error,
        ProcessError::NotANumber { found, point: 2, .. } if found == "`np.float64(2.5)`"
    );
    assert!(shown, "{error:?}");
    assert!(error.to_string().contains("print(float(y)"), "{error}");
    let comma = failure("read -r x; echo '0,5'; exec cat").to_string();
    assert!(comma.contains("decimal comma"), "{comma}");
    let long = failure("printf '%05000d_\\n' 1; exec cat").to_string();
    assert!(long.contains("000...`") && long.len() < 300, "{long}");
}

#[test]
fn a_line_without_end_is_refused() {
    let error = failure("tr '\\0' x < /dev/zero");
    assert!(matches!(error, ProcessError::Endless), "{error:?}");
}

#[test]
fn text_taken_for_binary_is_refused() {
    let format = ProcessFormat::Binary;
    let mut oracle = spawn(ProcessSettings { format, ..settings("echo 0.123; exec cat", 1) });
    // The child's greeting may come before it is asked.
    let error = error(&mut oracle, &points(1, 3));
    let refused = matches!(error, ProcessError::Frame { .. } | ProcessError::Excess(_));
    assert!(refused, "{error:?}");
}

#[test]
fn nan_passes_through_and_the_meter_refuses_it() {
    let command = "while read -r x; do echo nan; done";
    let mut oracle = spawn(settings(command, 1));
    let values = oracle.values(&points(1, 2)).expect("values");
    assert!(values.iter().all(|v| v.is_nan()));
    let mut silent = Silent;
    let refused = Meter::new(&mut oracle, &mut silent, 10).values(&points(1, 2));
    assert!(matches!(refused, Err(OracleError::NotFinite { .. })), "{refused:?}");
}

#[test]
fn after_an_error_the_next_batch_starts_anew() {
    let dir = tempfile::tempdir().expect("a folder");
    let flag = dir.path().join("flag");
    let command = format!("test -e '{0}' && exec cat; touch '{0}'; echo garbage", flag.display());
    let mut oracle = spawn(settings(&command, 1));
    error(&mut oracle, &points(1, 3));
    let points = points(1, 3);
    let values = oracle.values(&points).expect("values");
    assert_same_bits(&values, &points.row(0).transpose());
}

#[test]
fn a_flood_on_stderr_blocks_nothing() {
    let code = "
import sys
for line in sys.stdin:
    sys.stderr.write('warning ' * 20000 + '\\n')
    print(line.strip(), flush=True)
sys.exit(1)
";
    let Some(script) = Script::new(code) else { return };
    let mut oracle = spawn(script.settings(1));
    let points = points(1, 50);
    let values = oracle.values(&points).expect("values");
    assert_same_bits(&values, &points.row(0).transpose());
}

#[test]
fn messages_keep_only_the_end_of_stderr() {
    let command = "i=0; while [ $i -lt 2000 ]; do echo \"line $i\" >&2; i=$((i+1)); done; exit 1";
    let error = failure(command).to_string();
    assert!(error.contains("line 1999") && !error.contains("line 1989\n"), "{error}");
    assert!(error.len() < 500, "{error}");
}

#[test]
fn a_large_batch_passes_through_small_buffers() {
    // Reads and writes a little at a time, with all answers so far held back for a while.
    let code = "
import os
rest, out = b'', b''
while chunk := os.read(0, 3000):
    *lines, rest = (rest + chunk).split(b'\\n')
    out += b''.join(line.split()[-1] + b'\\n' for line in lines)
    while out:
        out = out[os.write(1, out[:700]):]
";
    let Some(script) = Script::new(code) else { return };
    let mut oracle = spawn(script.settings(10));
    let points = points(10, 200_000);
    let values = oracle.values(&points).expect("values");
    assert_same_bits(&values, &points.row(9).transpose());
}

fn network() -> TwoLayer {
    let wave = |n: usize| (0..n).map(|k| (1.3 * k as f64 + 0.2).cos());
    TwoLayer {
        a: DMatrix::from_iterator(6, 9, wave(54)),
        theta: DVector::from_iterator(9, wave(9)),
        b: DMatrix::from_iterator(9, 4, wave(36)),
        tau: DVector::from_iterator(4, wave(4)),
        c: DVector::from_iterator(4, wave(4)),
        c0: -0.5,
        g: Activation::Tanh,
        h: Activation::Tanh,
    }
}

fn mkfifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo");
    assert!(made.success());
}

#[test]
fn both_formats_agree_with_the_network_to_the_last_bit() {
    for format in [ProcessFormat::Text, ProcessFormat::Binary] {
        // The child is a pair of pipes to a server in this process.
        let dir = tempfile::tempdir().expect("a folder");
        let (to, from) = (dir.path().join("to"), dir.path().join("from"));
        mkfifo(&to);
        mkfifo(&from);
        let command = format!("cat '{}' & exec cat > '{}'", from.display(), to.display());
        let server = thread::spawn(move || {
            let input = fs::File::open(to).expect("a pipe");
            let output = fs::File::options().write(true).open(from).expect("a pipe");
            serve(&network().into(), input, output, format)
        });
        let mut oracle = spawn(ProcessSettings { format, ..settings(&command, 6) });
        for n in [1, 17, 50_000, 3] {
            let points = points(6, n);
            let values = oracle.values(&points).expect("values");
            assert_same_bits(&values, &network().values(&points));
        }
        drop(oracle);
        server.join().expect("no panic").expect("served until the end");
    }
}

#[test]
fn nothing_is_left_running_after_drop() {
    let dir = tempfile::tempdir().expect("a folder");
    let (beats, pid) = (dir.path().join("beats"), dir.path().join("pid"));
    // A grandchild that outlives the end of its input, under a child that does, too.
    let command = format!(
        "echo $$ > '{}'; (while :; do echo >> '{}'; sleep 0.02; done) & cat; sleep 60",
        pid.display(),
        beats.display()
    );
    let mut oracle = spawn(settings(&command, 1));
    oracle.values(&points(1, 5)).expect("values");
    let count = || fs::metadata(&beats).map_or(0, |file| file.len());
    let start = Instant::now();
    while count() < 3 && start.elapsed() < PATIENCE {
        thread::sleep(Duration::from_millis(10));
    }
    assert!(count() >= 3, "the grandchild does not run");
    let start = Instant::now();
    drop(oracle);
    assert!(start.elapsed() < PATIENCE);
    let after = count();
    thread::sleep(Duration::from_millis(300));
    assert_eq!(count(), after, "the grandchild lives on");
    // Not even as a zombie, which would have an entry, too.
    if cfg!(target_os = "linux") {
        let pid = fs::read_to_string(pid).expect("the child's id");
        assert!(!Path::new("/proc").join(pid.trim()).exists(), "the child was not reaped");
    }
}

#[test]
fn derivatives_of_a_served_network_are_differences_of_its_values() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("network.safetensors");
    Network::from(network()).save(&file).expect("a file");
    let program = assert_cmd::cargo::cargo_bin!("disentangle");
    for (name, format) in [("text", ProcessFormat::Text), ("binary", ProcessFormat::Binary)] {
        let (program, file) = (program.display(), file.display());
        let command = format!("'{program}' serve --network '{file}' --format {name}");
        let mut process = spawn(ProcessSettings { format, ..settings(&command, 6) });
        let mut plain = NetworkOracle::new(network());
        assert!(!process.keeps_stacks() && process.hessian_noise(0.1).is_none());
        for (n, k) in [(5, 3), (0, 3), (2, 0)] {
            let (centres, directions) = (points(6, n), points(6, k));
            let both = [&mut process as &mut dyn Oracle, &mut plain].map(|oracle| {
                let values = oracle.values(&centres).expect("values");
                let by = GradientScheme::Central4;
                let gradients = oracle.gradients(&centres, &directions, by, 0.1);
                let by = HessianScheme::Richardson;
                let hessians = oracle.hessians(&centres, &directions, by, 0.1);
                let stack = oracle.hessian_stack(&centres, &directions, by, 0.1);
                let norms = stack.expect("a stack").norms().to_vec();
                (values, gradients.expect("gradients"), hessians.expect("Hessians"), norms)
            });
            assert_eq!(both[0], both[1]);
        }
    }
}

#[test]
fn a_served_network_of_several_outputs_answers_behind_its_link() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("network.safetensors");
    let drawn = Network::random(&[3, 5, 4, 2], 3, Class::General, Activation::Gelu, 1);
    let network = Network { link: Link::Softmax, ..drawn.expect("valid") };
    network.save(&file).expect("a file");
    let program = assert_cmd::cargo::cargo_bin!("disentangle");
    for (name, format) in [("text", ProcessFormat::Text), ("binary", ProcessFormat::Binary)] {
        let command =
            format!("'{}' serve --network '{}' --format {name}", program.display(), file.display());
        let settings = ProcessSettings { format, output_dim: 3, ..settings(&command, 3) };
        let mut oracle = spawn(settings);
        let points = points(3, 1000);
        let outputs = oracle.outputs(&points).expect("outputs");
        assert_eq!(outputs, network.outputs(&points), "{name}");
        assert_same_bits(&oracle.values(&points).expect("values"), &outputs.row(0).transpose());
        let weights = DVector::from_vec(vec![1.0, -2.0, 0.5]);
        oracle.mix(&weights);
        assert_same_bits(&oracle.values(&points).expect("values"), &outputs.tr_mul(&weights));
    }
}

#[test]
fn another_number_of_outputs_is_named() {
    let three = failure("while read x; do echo 1 2 3; done");
    assert!(matches!(three, ProcessError::Outputs { found: 3, due: 1, point: 1, .. }), "{three:?}");
    assert!(
        three
            .to_string()
            .contains("3 values at point 1 of a batch, where 1 is due: --output-dim 3")
    );
    let asked = |command: &str, output_dim| {
        let settings = ProcessSettings { output_dim, ..settings(command, 1) };
        error(&mut spawn(settings), &points(1, 3))
    };
    let one = asked("while read x; do echo 1; done", 2);
    assert!(one.to_string().contains("1 values at point 1 of a batch, where 2 are due"), "{one}");
    // In binary the count is of points.
    let frame = ProcessError::Frame { asked: 3, found: 6, outputs: 1 };
    assert!(frame.to_string().contains("--output-dim 2"), "{frame}");
    let none = ProcessOracle::spawn(ProcessSettings { output_dim: 0, ..settings("cat", 1) });
    assert!(none.is_err());
}
