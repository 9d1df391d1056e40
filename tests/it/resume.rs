//! Runs that are cut off, and go on: by SIGKILL at any moment, by Ctrl-C, by a limit on time.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use disentangle::identify::Status;
use disentangle::network::OneLayer;
use disentangle::network::{Activation, Class, Network, TwoLayer};
use disentangle::report::Report;
use serde_json::Value;
use tempfile::TempDir;

/// No wait here may take longer, on a busy machine either.
const PATIENCE: Duration = Duration::from_secs(120);
/// What should take less than a second, on a busy machine: far less than what it cuts short.
const SOON: Duration = Duration::from_secs(10);
/// Place of the program, the same for tests and children.
const PROGRAM: &str = env!("CARGO_BIN_EXE_disentangle");

/// A folder with a network and the results of runs on it.
struct Desk {
    folder: TempDir,
    arguments: Vec<String>,
}

impl Desk {
    /// Runs ask a process that answers line by line, at the pace of a shell loop, and notes every
    /// point that it is asked in the file `asked`.
    fn process(network: impl Fn(&Path), d: usize, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (truth, asked) = (folder.path().join("truth.safetensors"), folder.path().join("asked"));
        network(&truth);
        let command = format!(
            "while read -r x; do echo \"$x\"; done | tee -a '{}' | '{PROGRAM}' serve --network '{}'",
            asked.display(),
            truth.display()
        );
        let d = d.to_string();
        Desk::new(folder, &[&["--process", &command, "--input-dim", &d], more].concat())
    }

    /// A small network with two hidden layers behind such a process.
    fn small(more: &[&str]) -> Self {
        Desk::process(|path| Network::from(two_layers((4, 3, 1))).save(path).unwrap(), 4, more)
    }

    /// Runs ask a network file.
    fn file(network: &TwoLayer, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("truth.safetensors");
        Network::from(network).save(&path).unwrap();
        Desk::new(folder, &[&["--network", path.to_str().unwrap()], more].concat())
    }

    fn new(folder: TempDir, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|&argument| argument.to_owned()).collect();
        Desk { folder, arguments }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The length of the file `name`, 0 if there is none.
    fn length(&self, name: &str) -> u64 {
        fs::metadata(self.path(name)).map_or(0, |file| file.len())
    }

    /// The program on this desk with the checkpoint in `folder`; results in files of fixed names.
    fn command(&self, checkpoint: &str, more: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args(["identify", "--quiet", "--out", "found.safetensors", "--report", "report.json"])
            .args(["--checkpoint", checkpoint])
            .args(&self.arguments)
            .args(more)
            .current_dir(self.folder.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, checkpoint: &str, more: &[&str]) -> Output {
        self.command(checkpoint, more).output().unwrap()
    }

    /// A run that ends well: its network's bytes and its report without times and arguments.
    fn result(&self, checkpoint: &str) -> (Vec<u8>, Report) {
        let output = self.run(checkpoint, &[]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        (fs::read(self.path("found.safetensors")).unwrap(), self.report())
    }

    fn report(&self) -> Report {
        let mut report = Report::load(self.path("report.json")).unwrap();
        report.seconds.total = 0.0;
        report.seconds.by_stage.clear();
        report.arguments.clear();
        report
    }

    /// Runs until the log in `checkpoint` has `length` bytes, then kills without warning. Whether the
    /// run was still going on.
    fn run_and_kill_at(&self, checkpoint: &str, length: u64) -> bool {
        let mut child = self.command(checkpoint, &[]).spawn().unwrap();
        let start = Instant::now();
        while self.length(&log(checkpoint)) < length && child.try_wait().unwrap().is_none() {
            assert!(start.elapsed() < PATIENCE, "the log does not grow");
            thread::sleep(Duration::from_micros(200));
        }
        // SIGKILL; perhaps it has just ended by itself.
        child.kill().unwrap();
        child.wait().unwrap().code().is_none()
    }

    fn copy(&self, from: &str, to: &str) {
        fs::create_dir(self.path(to)).unwrap();
        fs::copy(self.path(&log(from)), self.path(&log(to))).unwrap();
    }

    /// Points that the process has been asked.
    fn asked(&self) -> usize {
        fs::read(self.path("asked")).unwrap().iter().filter(|&&byte| byte == b'\n').count()
    }
}

fn log(checkpoint: &str) -> String {
    format!("{checkpoint}/queries.log")
}

fn two_layers(dims: (usize, usize, usize)) -> TwoLayer {
    TwoLayer::random(dims, Class::General, Activation::Tanh, 7).unwrap()
}

/// One line on stderr that begins so.
fn line(output: &Output, begin: &str) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert!(stderr.starts_with(begin) && stderr.lines().count() == 1, "{stderr}");
    stderr
}

/// Kills a run again and again, each time from where it had come, somewhere in the rest of its log; and
/// lets it run to its end from every place where it was killed.
fn survive(desk: &Desk, kills: u64) {
    let expected = desk.result("whole");
    let (length, asked) = (desk.length(&log("whole")), desk.asked());
    let queries = expected.1.queries.total;
    assert_eq!(asked as u64, queries);
    // Multiples of the golden ratio are spread as evenly as can be, and in no simple ratio to anything.
    let mut places: Vec<u64> = (1..=kills)
        .map(|k| (length as f64 * (0.618_033_988_749_895 * k as f64).fract()) as u64)
        .collect();
    places.sort_unstable();
    let mut hits = 0;
    for (k, place) in places.into_iter().enumerate() {
        hits += u64::from(desk.run_and_kill_at("killed", place));
        let copy = format!("copy-{k}");
        desk.copy("killed", &copy);
        assert_eq!(desk.result(&copy), expected, "killed at {place} of {length}");
    }
    assert!(10 * hits >= 9 * kills - 5, "{hits} of {kills} kills came in time");
    assert_eq!(desk.result("killed"), expected);
    // From the log alone, and nothing asked.
    let asked = desk.asked();
    assert_eq!(desk.result("killed"), expected);
    assert_eq!(desk.asked(), asked);
}

#[test]
fn a_run_survives_kills() {
    survive(&Desk::small(&[]), 3);
}

#[test]
#[ignore = "ten seconds; the short version always runs"]
fn a_run_survives_twenty_kills() {
    survive(&Desk::small(&[]), 20);
}

#[test]
fn one_hidden_layer_survives_kills() {
    let truth = OneLayer::random((3, 2), Class::General, Activation::Tanh, 1).unwrap();
    survive(
        &Desk::process(|path| Network::from(&truth).save(path).unwrap(), 3, &["--depth", "1"]),
        2,
    );
}

#[test]
fn a_network_file_survives_kills() {
    let desk = Desk::file(&two_layers((6, 5, 2)), &["--backend", "cpu"]);
    let expected = desk.result("whole");
    let length = desk.length(&log("whole"));
    for k in 1..4 {
        desk.run_and_kill_at("killed", length * k / 4);
    }
    assert_eq!(desk.result("killed"), expected);
    // Without a checkpoint it is the same run.
    let mut plain = Command::new(PROGRAM);
    plain.args(["identify", "--quiet", "--out", "plain.safetensors"]).args(&desk.arguments);
    let output = plain.current_dir(desk.folder.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert_eq!(fs::read(desk.path("plain.safetensors")).unwrap(), expected.0);
}

#[test]
fn every_pipeline_goes_on() {
    // What they find matters elsewhere: here it is that they find the same.
    let truth = TwoLayer::random((8, 8, 2), Class::Paper, Activation::Tanh, 7).unwrap();
    for pipeline in ["wide", "entangled", "published"] {
        let more =
            ["--backend", "cpu", "--pipeline", pipeline, "--attempts", "1", "--widths", "8,2"];
        let desk = Desk::file(&truth, &more);
        let whole = desk.run("whole", &[]);
        assert!(matches!(whole.status.code(), Some(0 | 1)));
        let (found, report) = (fs::read(desk.path("found.safetensors")).ok(), desk.report());
        assert!(report.queries.total > 10_000);
        desk.run_and_kill_at("killed", desk.length(&log("whole")) / 2);
        let again = desk.run("killed", &["--resume"]);
        assert_eq!(again.status.code(), whole.status.code());
        assert_eq!(fs::read(desk.path("found.safetensors")).ok(), found, "{pipeline}");
        assert_eq!(desk.report(), report, "{pipeline}");
    }
}

#[test]
fn what_an_answer_costs_is_paid_once() {
    // Killed early: what the log holds is not asked again, what it does not is at most one slice.
    let desk = Desk::small(&[]);
    desk.run_and_kill_at("c", 40_000);
    let before = desk.asked();
    let (_, report) = desk.result("c");
    let after = desk.asked();
    let twice = after as u64 - report.queries.total;
    assert!(before > 1000 && twice < before as u64 / 2, "{twice} of {before} asked twice");
}

#[test]
fn another_run_is_refused_in_one_line() {
    let desk = Desk::file(&two_layers((4, 3, 1)), &["--backend", "cpu"]);
    let missing = desk.run("c", &["--resume"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(line(&missing, "error: ").contains("no checkpoint"));
    desk.result("c");
    let bytes = fs::read(desk.path(&log("c"))).unwrap();
    let other = ["--seed", "1"];
    let lines = [
        (&other[..], "seed is 0 there and 1 here"),
        (&["--tolerance", "1e-7"], "tolerance is 1e-6 there and 1e-7 here"),
        (&["--ascent", "power"], "ascent is \"spectral\" there and \"power\" here"),
        (&["--activation", "erf"], "activation"),
    ];
    for (more, expected) in lines {
        let refused = desk.run("c", more);
        assert_eq!(refused.status.code(), Some(2));
        let line = line(&refused, "error: ");
        assert!(line.contains(expected), "{line}");
    }
    // Another network of the same name.
    Network::from(two_layers((4, 3, 2))).save(desk.path("truth.safetensors")).unwrap();
    let refused = desk.run("c", &["--resume"]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(line(&refused, "error: ").contains("oracle is \"network "));
    assert_eq!(fs::read(desk.path(&log("c"))).unwrap(), bytes);
}

#[test]
fn a_run_may_go_on_with_more_queries() {
    let desk = Desk::file(&two_layers((4, 3, 1)), &["--backend", "cpu"]);
    let stopped = desk.run("c", &["--max-queries", "3000"]);
    assert_eq!(stopped.status.code(), Some(1));
    assert!(desk.report().reason.contains("limit of 3000 queries"));
    let (_, report) = desk.result("c");
    assert_eq!(report.status, Status::Identified);
    assert!(report.queries.total > 3000);
}

#[test]
fn a_damaged_log_goes_on_from_what_is_whole() {
    let desk = Desk::file(&two_layers((4, 3, 1)), &["--backend", "cpu"]);
    let expected = desk.result("c");
    let path = desk.path(&log("c"));
    let whole = fs::read(&path).unwrap();
    let mut damaged = whole.clone();
    let middle = damaged.len() / 2;
    damaged[middle] ^= 0x10;
    for bytes in [damaged, whole[..whole.len() - 3].to_vec(), [&whole[..], b"junk"].concat()] {
        fs::write(&path, bytes).unwrap();
        let output = desk.run("c", &[]);
        let warning = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(0), "{warning}");
        assert!(warning.contains("no whole record") && warning.lines().count() == 1, "{warning}");
        assert_eq!(fs::read(desk.path("found.safetensors")).unwrap(), expected.0);
        // The slices may be others, as they follow the clock.
        assert_eq!(desk.result("c"), expected);
    }
}

/// The process group of a child that has written its id to `pid`.
fn is_alive(pid: &Path) -> bool {
    let pid = fs::read_to_string(pid).unwrap();
    let alive = Command::new("kill").args(["-0", pid.trim()]).stderr(Stdio::null()).status();
    alive.unwrap().success()
}

/// Sends a signal by its name.
fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args(["-s", name, &child.id().to_string()]).status().unwrap();
    assert!(sent.success());
}

#[test]
fn signals_end_a_run_with_a_line_and_its_process_with_it() {
    for name in ["INT", "TERM"] {
        let folder = tempfile::tempdir().unwrap();
        let pid = folder.path().join("pid");
        // Answers once, then never, and does not care for the end of its input.
        let command = format!("echo $$ > '{}'; read -r x; echo 1; sleep 100", pid.display());
        let desk = Desk::new(folder, &["--process", &command, "--input-dim", "3"]);
        let child = desk.command("c", &[]).spawn().unwrap();
        let start = Instant::now();
        while desk.length("pid") == 0 || desk.length(&log("c")) == 0 {
            assert!(start.elapsed() < PATIENCE, "it does not start");
            thread::sleep(Duration::from_millis(5));
        }
        thread::sleep(Duration::from_millis(200));
        signal(&child, name);
        let told = Instant::now();
        let output = child.wait_with_output().unwrap();
        assert!(told.elapsed() < SOON, "{:?}", told.elapsed());
        assert_eq!(output.status.code(), Some(130));
        assert!(line(&output, "warning: interrupted").contains("checkpoint in c"));
        assert!(!is_alive(&pid), "the process lives on");
        let report = desk.report();
        assert_eq!(report.status, Status::NotIdentified);
        assert!(report.reason.contains("interrupted"), "{}", report.reason);
        assert!(!desk.path("found.safetensors").exists());
    }
}

#[test]
fn an_interrupted_run_goes_on_to_the_same_result() {
    let desk = Desk::small(&[]);
    let expected = desk.result("whole");
    let child = desk.command("c", &[]).spawn().unwrap();
    let start = Instant::now();
    while desk.length(&log("c")) < desk.length(&log("whole")) / 2 {
        assert!(start.elapsed() < PATIENCE, "it does not get on");
        thread::sleep(Duration::from_millis(1));
    }
    signal(&child, "INT");
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(130));
    assert_eq!(desk.result("c"), expected);
}

#[test]
fn a_time_limit_is_kept() {
    let silent = "read -r x; echo 1; sleep 100";
    let slow = "while read -r x; do sleep 0.01; echo 1; done";
    let large = two_layers((160, 150, 8));
    let process = |command: &str| {
        Desk::new(tempfile::tempdir().unwrap(), &["--process", command, "--input-dim", "3"])
    };
    let desks = [process(silent), process(slow), Desk::file(&large, &["--backend", "cpu"])];
    for desk in desks {
        for limit in ["0.01", "0.3"] {
            let start = Instant::now();
            let output = desk.run("c", &["--time-limit", limit]);
            let took = start.elapsed().as_secs_f64() - limit.parse::<f64>().unwrap();
            let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(1), "{stderr}");
            assert!(took < SOON.as_secs_f64(), "{took} s late");
            let report = desk.report();
            assert_eq!(report.status, Status::NotIdentified);
            let reason = format!("the time limit of {limit} s is reached");
            assert!(report.reason.contains(&reason), "{}", report.reason);
            assert!(!desk.path("found.safetensors").exists());
        }
    }
}

#[test]
fn a_run_goes_on_after_its_time_was_over() {
    let desk = Desk::small(&[]);
    let expected = desk.result("whole");
    for _ in 0..3 {
        let output = desk.run("c", &["--time-limit", "0.1"]);
        assert!(matches!(output.status.code(), Some(0 | 1)));
    }
    assert_eq!(desk.result("c"), expected);
}

#[test]
fn two_runs_do_not_share_a_checkpoint() {
    let desk =
        Desk::process(|path| Network::from(two_layers((4, 3, 1))).save(path).unwrap(), 4, &[]);
    let mut child = desk.command("c", &[]).spawn().unwrap();
    let start = Instant::now();
    while desk.length(&log("c")) == 0 {
        assert!(start.elapsed() < PATIENCE, "it does not start");
        thread::sleep(Duration::from_millis(1));
    }
    // A run that holds it and does not end by itself.
    let stop = Command::new("kill").args(["-STOP", &child.id().to_string()]).status().unwrap();
    assert!(stop.success());
    let refused = desk.run("c", &[]);
    assert_eq!(refused.status.code(), Some(2));
    assert!(line(&refused, "error: ").contains("in use by another run"));
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn the_first_line_names_the_run() {
    let desk = Desk::file(&two_layers((4, 3, 1)), &["--backend", "cpu"]);
    desk.result("c");
    let bytes = fs::read(desk.path(&log("c"))).unwrap();
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap();
    let header: Value = serde_json::from_slice(&bytes[..end]).unwrap();
    assert_eq!(header["run"]["seed"], 0);
    assert_eq!(header["run"]["number of inputs"], 4);
}
