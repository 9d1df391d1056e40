//! `disentangle study` through the program.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::{Command as Process, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use assert_cmd::Command;
use serde_json::Value;

const PLAN: &str = "d = [8, 10]\nm1 = [2, 3]\nstd = [0.0, 0.2]\nseeds = \"0..3\"\n";
const RUNS: usize = 24;

fn program() -> Command {
    Command::new(assert_cmd::cargo::cargo_bin!("disentangle"))
}

fn plan(folder: &Path, text: &str) -> String {
    let path = folder.join("plan.toml");
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

fn lines(folder: &Path) -> Vec<String> {
    let text = fs::read_to_string(folder.join("runs.jsonl")).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Runs without their times, in one order.
fn results(folder: &Path) -> BTreeSet<String> {
    let result = |line: &String| {
        let mut run: Value = serde_json::from_str(line).unwrap();
        run.as_object_mut().unwrap().remove("seconds").unwrap();
        run.to_string()
    };
    lines(folder).iter().map(result).collect()
}

#[test]
fn a_study_killed_and_resumed_is_the_whole_study() {
    let folder = tempfile::tempdir().unwrap();
    let plan = plan(folder.path(), PLAN);
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    let table = program().args(["study", "--plan", &plan, "--out"]).arg(&whole).assert().code(0);
    let table = String::from_utf8(table.get_output().stdout.clone()).unwrap();
    assert!(table.contains("24 runs") && table.contains("0 WRONG"), "{table}");
    assert_eq!(lines(&whole).len(), RUNS);

    let mut child = Process::new(assert_cmd::cargo::cargo_bin!("disentangle"))
        .args(["study", "--jobs", "1", "--plan", &plan, "--out"])
        .arg(&cut)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let since = Instant::now();
    while lines(&cut).len() < 3 && since.elapsed() < Duration::from_secs(120) {
        sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let done = lines(&cut);
    assert!((3..RUNS).contains(&done.len()), "killed after {} runs", done.len());

    // As if the next line had been on its way.
    let path = cut.join("runs.jsonl");
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(&done[0].as_bytes()[..done[0].len() / 2]);
    fs::write(&path, bytes).unwrap();
    let resumed = program().args(["study", "--plan", &plan, "--out"]).arg(&cut).assert().code(0);
    let stderr = String::from_utf8(resumed.get_output().stderr.clone()).unwrap();
    assert!(stderr.contains("cut off"), "{stderr}");
    assert_eq!(lines(&cut)[..done.len()], done[..]);
    assert_eq!(lines(&cut).len(), RUNS);
    assert_eq!(results(&cut), results(&whole));

    // Nothing is left to do; another axis only adds to it.
    program().args(["study", "--plan", &plan, "--out"]).arg(&cut).assert().code(0);
    assert_eq!(lines(&cut).len(), RUNS);
    let more = ["--d", "8", "--m1", "2", "--std", "0", "--noise", "0,1e-7", "--seeds", "0,1"];
    program().args(["study", "--out"]).arg(&cut).args(more).assert().code(0);
    assert_eq!(lines(&cut).len(), RUNS + 2);

    // Runs of other versions are kept, with a word about them.
    let version = |version: &str| format!("\"version\":\"{version}\"");
    let (this, other) = (version(env!("CARGO_PKG_VERSION")), version("0.0.9"));
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen(&this, &other, 2)).unwrap();
    let mixed = program().args(["study", "--out"]).arg(&cut).args(more).assert().code(0);
    let warned = String::from_utf8(mixed.get_output().stderr.clone()).unwrap();
    let warning = "warning: the records hold runs of other versions: 2 of 0.0.9";
    assert!(warned.lines().any(|line| line == warning), "{warned}");
    assert!(!stderr.contains("version"), "{stderr}");
    assert_eq!(lines(&cut).len(), RUNS + 2);
}

#[test]
fn merged_shards_are_the_whole_study() {
    let folder = tempfile::tempdir().unwrap();
    let text = "d = [6, 8]\nm1 = 2\nstd = [0.0, 0.2]\nseeds = \"0..2\"\n";
    let plan = plan(folder.path(), text);
    let (whole, cut) = (folder.path().join("whole"), folder.path().join("cut"));
    program().args(["study", "--plan", &plan, "--out"]).arg(&whole).assert().code(0);
    let merge = || program().args(["study", "--merge"]).arg(&cut).assert();
    for shard in ["3/3", "1/3"] {
        program()
            .args(["study", "--plan", &plan, "--shard", shard, "--out"])
            .arg(&cut)
            .assert()
            .code(0);
    }
    let refused = merge().code(2);
    let said = String::from_utf8(refused.get_output().stderr.clone()).unwrap();
    assert_eq!(said, "error: shards are missing: 2/3\n");
    let done = program()
        .args(["study", "--plan", &plan, "--shard", "2/3", "--out"])
        .arg(&cut)
        .assert()
        .code(0);
    let said = String::from_utf8(done.get_output().stdout.clone()).unwrap();
    assert_eq!(said, "shard 2/3: all 3 runs are on record, 0 WRONG\n");
    let table = merge().code(0);
    let table = String::from_utf8(table.get_output().stdout.clone()).unwrap();
    assert!(table.contains("8 runs") && table.contains("0 WRONG"), "{table}");
    assert_eq!(results(&cut), results(&whole));
    assert!(cut.join("summary.md").exists());

    // The same shard of another plan is not taken for it.
    let args = ["study", "--plan", &plan, "--std", "0.1", "--shard", "1/3", "--out"];
    program().args(args).arg(&cut).assert().code(2);
    for bad in ["0/3", "4/3", "three"] {
        program()
            .args(["study", "--plan", &plan, "--shard", bad, "--out"])
            .arg(&cut)
            .assert()
            .code(2);
    }
}

#[test]
fn pipelines_that_stay_near_a_point_are_compared() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let axes = ["--pipeline", "entangled,published", "--d", "6", "--m1", "1", "--std", "0.05"];
    let near = ["--domain-radius", "3", "--seeds", "0..1"];
    program().args(["study", "--out"]).arg(&out).args(axes).args(near).assert().code(0);
    let runs: Vec<Value> =
        lines(&out).iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(runs.len(), 2);
    for run in &runs {
        assert!(run["status"] != "error" && run["wrong"] == false, "{run}");
        assert!(run["domain_radius"] == 3.0 && run["queries"].as_u64() > Some(0), "{run}");
    }
    let of = |name: &str| runs.iter().find(|run| run["pipeline"] == name).unwrap();
    let entangled = of("entangled");
    assert_eq!(entangled["status"], "identified", "{entangled}");
    assert_eq!((&entangled["m0_found"], &entangled["m1_found"]), (&6.into(), &1.into()));
    assert_eq!(entangled["bound_violated"], false, "{entangled}");
    assert_eq!(of("published")["m0_found"], 6);
}

#[cfg(unix)]
#[test]
fn a_record_that_cannot_be_written_leaves_whole_lines() {
    let folder = tempfile::tempdir().unwrap();
    let study = |limit: &str| {
        let program = assert_cmd::cargo::cargo_bin!("disentangle");
        let study = ["study", "--out", "out", "--d", "3", "--m1", "1", "--max-queries", "100"];
        Process::new("sh")
            .args(["-c", &format!("{limit} exec \"$@\""), "sh"])
            .arg(program)
            .args(study)
            .args(["--seeds", "0..20", "--jobs", "4", "--quiet"])
            .current_dir(folder.path())
            .output()
            .unwrap()
    };
    // A few KiB a file: the line that goes beyond is written in part.
    let cut = study("trap '' XFSZ; ulimit -f 4;");
    let stderr = String::from_utf8(cut.stderr).unwrap();
    assert_eq!(cut.status.code(), Some(2), "{stderr}");
    assert!(stderr.starts_with("error: cannot write out/runs.jsonl: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    let out = folder.path().join("out");
    let text = fs::read_to_string(out.join("runs.jsonl")).unwrap();
    assert!(text.ends_with('\n') && (1..20).contains(&text.lines().count()), "{text}");

    let whole = study("");
    let stderr = String::from_utf8(whole.stderr).unwrap();
    assert_eq!((whole.status.code(), stderr.as_str()), (Some(0), ""));
    assert_eq!(results(&out).len(), 20);
}

#[test]
fn tables_and_pictures_come_from_the_records_alone() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let axes = ["--d", "6", "--m1", "1,2", "--std", "0.1,0.3", "--seeds", "0..2"];
    let printed = program().args(["study", "--out"]).arg(&out).args(axes).assert().code(0);
    let files = ["summary.json", "summary.md", "heat-m1-std.svg", "curve-m1.svg"];
    let written = files.map(|name| fs::read(out.join(name)).unwrap());
    let summary: Value = serde_json::from_slice(&written[0]).unwrap();
    assert_eq!((&summary["runs"], &summary["wrong"]), (&8.into(), &0.into()));
    assert_eq!(summary["cells"].as_array().unwrap().len(), 4);

    for name in files {
        fs::remove_file(out.join(name)).unwrap();
    }
    let again = program().args(["study", "--summarise"]).arg(&out).assert().code(0);
    assert_eq!(again.get_output().stdout, printed.get_output().stdout);
    assert_eq!(files.map(|name| fs::read(out.join(name)).unwrap()), written);
    let axes = ["--plot-axes", "std,m1"];
    program().args(["study", "--summarise"]).arg(&out).args(axes).assert().code(0);
    assert!(out.join("heat-std-m1.svg").exists() && out.join("curve-std.svg").exists());

    // A wrong answer is what the exit code tells.
    let path = out.join("runs.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("\"wrong\":false", "\"wrong\":true", 1)).unwrap();
    let wrong = program().args(["study", "--summarise"]).arg(&out).assert().code(1);
    let table = String::from_utf8(wrong.get_output().stdout.clone()).unwrap();
    assert!(table.contains("1 WRONG"), "{table}");
}

#[test]
fn kinds_of_several_grids_make_a_table_in_a_document() {
    let folder = tempfile::tempdir().unwrap();
    let (out, document) = (folder.path().join("kinds"), folder.path().join("document.md"));
    let text = "d = 6\nm1 = 2\nseeds = 1\nmax_queries = 100000\n\
                [[grid]]\nhardness = [\"plain\", \"twin-first\"]\n\
                [[grid]]\ndeviation = \"second-unit:1e-2\"\n";
    let plan = plan(folder.path(), text);
    fs::write(&document, "above\n<!-- study kinds -->\nold\n<!-- end of study -->\nbelow\n")
        .unwrap();
    let study = || {
        let mut study = program();
        study.args(["study", "--plan", &plan, "--out"]).arg(&out).arg("--insert").arg(&document);
        study
    };
    study().assert().code(0);
    let table = fs::read_to_string(out.join("kinds.md")).unwrap();
    for kind in ["plain", "twin-first", "second-unit:0.01"] {
        let row = format!("| {kind} | tanh | 1 | 1 | 0 | 0 | 0 | 0 | ");
        assert!(table.contains(&row), "{table}");
    }
    let written = fs::read_to_string(&document).unwrap();
    assert_eq!(
        written,
        format!(
            "above\n<!-- study kinds -->\n\n{}\n\n<!-- end of study -->\nbelow\n",
            table.trim_end()
        )
    );

    // A record that was made before there were kinds is one of a plain network, and not made again.
    let path = out.join("runs.jsonl");
    let old = |line: &str| {
        let mut run: Value = serde_json::from_str(line).unwrap();
        let fields = run.as_object_mut().unwrap();
        let kind = ["hardness", "deviation"].map(|key| fields.remove(key).unwrap());
        assert_eq!(kind, ["plain", "none"]);
        for key in ["activation_told", "residual", "unexplained"] {
            fields.remove(key).unwrap();
        }
        format!("{run}\n")
    };
    let lines = lines(&out);
    let plain = |line: &&String| {
        line.contains("\"hardness\":\"plain\"") && line.contains("\"deviation\":\"none\"")
    };
    let plain = lines.iter().find(plain).unwrap();
    fs::write(&path, old(plain)).unwrap();
    study().assert().code(0);
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 3);

    // A document that does not take the table is refused before anything is run.
    fs::write(&path, "").unwrap();
    let refused = || {
        let refused = study().assert().code(2).stdout("");
        assert_eq!(fs::read_to_string(&path).unwrap(), "");
        String::from_utf8(refused.get_output().stderr.clone()).unwrap()
    };
    fs::write(&document, "no place for it\n").unwrap();
    let stderr = refused();
    assert!(stderr.lines().last().unwrap().contains("<!-- study kinds -->"), "{stderr}");
    fs::remove_file(&document).unwrap();
    let stderr = refused();
    assert!(stderr.lines().last().unwrap().contains("cannot read"), "{stderr}");
}

#[test]
fn what_cannot_be_run_is_one_line_and_exit_code_2() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("out");
    let refused = |arguments: &[&str]| {
        let run = program().arg("study").args(arguments).assert().code(2).stdout("");
        let stderr = String::from_utf8(run.get_output().stderr.clone()).unwrap();
        assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr}");
        stderr
    };
    let out_text = out.to_str().unwrap();
    for (text, part) in [
        ("d = 8\nm1 = 2\nwidht = 3", "unknown axis \"widht\""),
        ("d = [8, true]\nm1 = 2", "d: expected a number"),
        ("d = []\nm1 = 2", "d: the list is empty"),
        ("d = 8\nm1 = 2\nseeds = \"0..1000000000\"", "seeds"),
        ("d = 1000000\nm1 = 2", "d: "),
        ("d = 8\nm1 = ", "plan.toml: line 2"),
        ("[d]\nx = 1", "d: expected a number"),
        ("d = 3\nm1 = 1\nhardness = \"twin-second\"", "too small for twin-second"),
        ("d = 3\nm1 = 2\n[[grid]]\nhardness = \"soft\"", "hardness: unknown"),
        ("d = 3\nm1 = 2\ndeviation = \"sine\"", "deviation: "),
    ] {
        let plan = plan(folder.path(), text);
        let stderr = program().args(["study", "--plan", &plan, "--out", out_text]).assert().code(2);
        let stderr = String::from_utf8(stderr.get_output().stderr.clone()).unwrap();
        let last = stderr.lines().last().unwrap();
        assert!(last.starts_with("error: ") && last.contains(part), "{text:?}: {stderr}");
    }
    refused(&["--plan", "no/such/plan.toml", "--out", out_text]);
    refused(&["--d", "8", "--m1", "two", "--out", out_text]);
    refused(&["--d", "8", "--m1", "2", "--radius", "1", "--out", out_text]);
    // Nothing was begun.
    assert!(!out.exists());

    let file = folder.path().join("plan.toml/out");
    refused(&["--d", "8", "--m1", "2", "--out", file.to_str().unwrap()]);
    refused(&["--summarise", folder.path().to_str().unwrap()]);
    fs::create_dir(&out).unwrap();
    fs::write(out.join("runs.jsonl"), "{\"seed\": 1}\n").unwrap();
    assert!(refused(&["--d", "8", "--m1", "2", "--out", out_text]).contains("runs.jsonl:1"));
    program().args(["study", "--d", "8", "--m1", "2"]).assert().code(2);
    program().args(["study", "--summarise", out_text, "--d", "8"]).assert().code(2);
}
