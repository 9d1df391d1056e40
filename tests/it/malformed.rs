//! Files that are cut off, damaged or made to do harm: exit code 2, one clear line, no panic, and no more
//! memory than a file of their size is worth.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use disentangle::identify::Status;
use disentangle::network::{Activation, Class, Network, TwoLayer};
use disentangle::report::Report;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_disentangle");
/// Address space in KiB: far more than the program needs, far less than hostile files declare.
const MEMORY: u32 = 4 << 20;

/// Runs the program with `arguments` in `folder`, short of memory.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    Command::new("sh")
        .arg("-c")
        .arg(format!("ulimit -v {MEMORY}; exec \"$@\""))
        .args(["sh", PROGRAM])
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The one line with which a run is refused.
fn complaint(output: &Output) -> String {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(output.stdout.is_empty());
    assert!(stderr.starts_with("error: ") && stderr.lines().count() == 1, "{stderr:?}");
    assert!(stderr.len() < 1500 && !stderr.contains("panicked"), "{stderr}");
    stderr
}

/// A safetensors file with this header and so many bytes of zeros.
fn container(header: &Value, data: usize) -> Vec<u8> {
    let header = header.to_string().into_bytes();
    [(header.len() as u64).to_le_bytes().as_slice(), &header, &vec![0; data]].concat()
}

/// The header of a 2-2-1 network in f64 with `edits`.
fn header(edits: &[(&str, Value)]) -> Value {
    let mut header = json!({"__metadata__": {"activation": "tanh"}});
    let mut end = 0;
    let shapes = [
        ("0.bias", vec![2]),
        ("0.weight", vec![2, 2]),
        ("2.bias", vec![1]),
        ("2.weight", vec![1, 2]),
        ("4.bias", vec![1]),
        ("4.weight", vec![1, 1]),
    ];
    for (name, shape) in shapes {
        let start = end;
        end += 8 * shape.iter().product::<usize>();
        header[name] = json!({"dtype": "F64", "shape": shape, "data_offsets": [start, end]});
    }
    for (pointer, value) in edits {
        *header.pointer_mut(pointer).unwrap() = value.clone();
    }
    header
}

const DATA: usize = 8 * 11;

#[test]
fn hostile_network_files_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    fs::write(&path, container(&header(&[]), DATA)).unwrap();
    let good = run(folder.path(), &["verify", "net.safetensors", "net.safetensors"]);
    assert_eq!(good.status.code(), Some(0), "{}", String::from_utf8_lossy(&good.stderr));

    let huge = 1u64 << 62;
    let edits = [
        // More numbers than there are bytes in the world, or than a usize can count.
        vec![("/0.weight/shape", json!([1u64 << 40, 1u64 << 40]))],
        vec![("/0.weight/shape", json!([huge, 8]))],
        vec![("/0.weight/data_offsets", json!([16, u64::MAX]))],
        vec![("/0.weight/shape", json!([huge, 1])), ("/0.weight/data_offsets", json!([16, huge]))],
        // Nothing at all, said to be much.
        vec![("/0.weight/shape", json!([0, huge])), ("/0.weight/data_offsets", json!([16, 16]))],
        vec![("/0.bias/shape", json!([0, huge])), ("/0.bias/data_offsets", json!([0, 0]))],
        // Tensors that overlap, leave a gap, or run backwards.
        vec![("/2.bias/data_offsets", json!([40, 48]))],
        vec![("/2.bias/data_offsets", json!([56, 64]))],
        vec![("/2.bias/data_offsets", json!([56, 48]))],
        vec![("/4.weight/data_offsets", json!([88, 96]))],
        vec![("/0.weight/shape", json!([-2, -2]))],
        vec![("/0.weight/shape", json!([[2], 2]))],
        vec![("/0.weight/shape", json!(vec![1; 10_000]))],
        vec![("/0.weight/dtype", json!("F128"))],
        vec![("/0.weight/dtype", json!("line\nbreak\u{1b}[31m"))],
        vec![("/__metadata__/activation", json!("relu\n\u{7}error: all is well"))],
        vec![("/__metadata__/activation", json!(["tanh"]))],
        vec![("/__metadata__", json!("x".repeat(100_000)))],
        vec![("/0.bias", Value::Null)],
    ];
    for edits in edits {
        fs::write(&path, container(&header(&edits), DATA)).unwrap();
        for command in [
            &["verify", "net.safetensors", "net.safetensors"][..],
            &["identify", "--network", "net.safetensors", "--quiet"],
            &["serve", "--network", "net.safetensors"],
        ] {
            let output = run(folder.path(), command);
            assert_eq!(output.status.code(), Some(2), "{edits:?} {command:?}");
            complaint(&output);
        }
    }
}

#[test]
fn names_in_files_break_no_line() {
    let folder = tempfile::tempdir().unwrap();
    let mut header = header(&[]);
    for k in 0..2000 {
        header[format!("layer\n{k}\u{1b}[2J")] =
            json!({"dtype": "F64", "shape": [0], "data_offsets": [0, 0]});
    }
    fs::write(folder.path().join("net.safetensors"), container(&header, DATA)).unwrap();
    let line = complaint(&run(folder.path(), &["serve", "--network", "net.safetensors"]));
    assert!(line.contains("unexpected") && !line.contains('\u{1b}'), "{line}");
}

#[test]
fn every_cut_of_a_network_file_is_refused() {
    let network = TwoLayer::random((2, 2, 1), Class::General, Activation::Tanh, 1).unwrap();
    let network = Network::from(network);
    let bytes = network.to_bytes().unwrap();
    for length in 0..bytes.len() {
        assert!(Network::from_bytes(&bytes[..length], None).is_err(), "{length}");
    }
    assert!(Network::from_bytes(&[&bytes[..], &[0]].concat(), None).is_err());
    // Not every flip of a bit can be seen, but none may panic.
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            if let Ok(read) = Network::from_bytes(&damaged, None) {
                assert_eq!(read.dims(), network.dims());
            }
        }
    }
}

#[test]
fn hostile_plans_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let many = |n: usize| (1..=n).map(|k| k.to_string()).collect::<Vec<_>>().join(",");
    let deep = format!("d = {}1{}", "[".repeat(50_000), "]".repeat(50_000));
    let keys = format!("{} = 1", "a.".repeat(50_000) + "b");
    let product = format!("d = [{0}]\nm0 = [{0}]\nm1 = [{0}]\nseeds = \"0..1000\"", many(500));
    let plans = [
        b"d = 4\nm1 = 2\nseeds = \"0..18446744073709551615\"".to_vec(),
        b"d = 4\nm1 = 2\nseeds = \"9223372036854775806..9223372036854775807\"\nstd = 1e400"
            .to_vec(),
        b"d = 99999999999999999999999999\nm1 = 2".to_vec(),
        b"d = 4\nm1 = \"\\u0007\\nerror: none\"".to_vec(),
        b"\"d\\n\" = 4".to_vec(),
        b"d = 4\nm1 = 2 # \xff\xfe".to_vec(),
        b"d = 4\nm1 = 1979-05-27T07:32:00Z".to_vec(),
        b"d = 4\nm1 = {x = 1}\n".to_vec(),
        b"\0\0\0\0".to_vec(),
        b"d = \"\"\"\n".to_vec(),
        b"".to_vec(),
        deep.into_bytes(),
        keys.into_bytes(),
        product.into_bytes(),
    ];
    for plan in &plans {
        fs::write(folder.path().join("plan.toml"), plan).unwrap();
        let output = run(folder.path(), &["study", "--plan", "plan.toml", "--out", "results"]);
        complaint(&output);
        assert!(!folder.path().join("results").exists());
    }
    let empty =
        format!("d = [{0}]\nm0 = [{0}]\nm1 = 1\nhardness = \"twin-second\"\nseeds = 1", many(500));
    fs::write(folder.path().join("plan.toml"), &empty).unwrap();
    complaint(&run(folder.path(), &["study", "--plan", "plan.toml", "--out", "results"]));
    for place in ["/dev/zero", ".", "/nowhere", "plan.toml/x"] {
        complaint(&run(folder.path(), &["study", "--plan", place, "--out", "results"]));
    }
}

/// A line of `runs.jsonl` with `edits`.
fn record(edits: &[(&str, Value)]) -> String {
    let mut record = json!({
        "pipeline": "wide", "d": 4, "m0": 4, "m1": 2, "activation": "tanh", "std": 0.1,
        "condition": null, "radius": null, "domain_radius": null, "hessians": null, "noise": 0.0,
        "precision": "f64", "max_queries": 1000, "seed": 1, "status": "identified", "reason": "",
        "wrong": false, "parameter_error": 1e-12, "bound": 1e-10, "bound_violated": false,
        "queries": 900, "seconds": 0.1, "m0_found": 4, "m1_found": 2, "units_found": 4,
        "false_candidates": 0, "false_attributions": 0, "gap": 1e6, "projection": 1.0,
        "version": "0.1.0",
    });
    for (key, value) in edits {
        record[*key] = value.clone();
    }
    format!("{record}\n")
}

#[test]
fn hostile_records_are_refused_or_counted() {
    let folder = tempfile::tempdir().unwrap();
    let summarise = |text: &[u8]| {
        fs::write(folder.path().join("runs.jsonl"), text).unwrap();
        run(folder.path(), &["study", "--summarise", "."])
    };
    let refused = [
        record(&[("d", json!(-1))]),
        record(&[("d", json!(1.5))]),
        record(&[("status", json!("splendid\nerror: none"))]),
        record(&[("seed", json!("1"))]),
        record(&[("queries", json!(1e300))]),
        "\n".to_owned(),
        "null\n".to_owned(),
        "[]\n".to_owned(),
        format!("{}\n", "[".repeat(100_000)),
        record(&[]).replace("900", "1e999"),
        record(&[]) + "{}\n",
    ];
    for text in refused {
        complaint(&summarise(text.as_bytes()));
    }
    complaint(&summarise(b"\xff\xfe\n"));
    // Strange, but records: counted, and drawn.
    let largest = json!(f64::MAX);
    let strange = [
        vec![("std", largest.clone()), ("noise", json!(-1e308))],
        vec![("d", json!(u64::MAX)), ("m0", json!(u64::MAX)), ("m1", json!(0))],
        vec![("queries", json!(u64::MAX)), ("seconds", json!(-1e308))],
        vec![("gap", json!(-1.0)), ("projection", json!(1e308))],
        vec![("units_found", json!(u64::MAX)), ("false_candidates", json!(u64::MAX))],
        vec![("parameter_error", json!(-1.0)), ("bound", json!(0))],
        vec![("reason", json!("a\nb\u{1b}[2J"))],
        vec![("false_candidates", json!(u64::MAX)), ("false_attributions", json!(u64::MAX))],
        vec![("false_candidates", json!(1)), ("false_attributions", json!(1))],
    ];
    let mut all = record(&[]);
    for (seed, mut edits) in strange.into_iter().enumerate() {
        edits.push(("seed", json!(seed)));
        all += &record(&edits);
        let output = summarise((record(&[]) + &record(&edits)).as_bytes());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(0), "{edits:?}: {stderr}");
    }
    assert_eq!(summarise(all.as_bytes()).status.code(), Some(0));
    assert_eq!(summarise(&all.as_bytes()[..all.len() - 2]).status.code(), Some(0));
    // Wrong without being identified: no success, which is no less than none.
    let edits = [("status", json!("not_identified")), ("wrong", json!(true)), ("m1", json!(1))];
    for std in [0.1, 0.2] {
        let wrong = record(&edits) + &record(&[("std", json!(std)), ("m1", json!(3))]);
        let output = summarise((record(&[]) + &wrong).as_bytes());
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("1 WRONG"), "{stderr}");
    }
}

#[test]
fn every_cut_of_a_report_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let network = TwoLayer::random((3, 3, 1), Class::General, Activation::Tanh, 1).unwrap();
    Network::from(network).save(folder.path().join("net.safetensors")).unwrap();
    let arguments =
        ["identify", "--network", "net.safetensors", "--quiet", "--report", "report.json"];
    run(folder.path(), &arguments);
    let path = folder.path().join("report.json");
    let report = Report::load(&path).unwrap();
    assert!(matches!(report.status, Status::Identified | Status::NotIdentified));
    let bytes = fs::read(&path).unwrap();
    let end = bytes.trim_ascii_end().len();
    for length in 0..end {
        fs::write(&path, &bytes[..length]).unwrap();
        assert!(Report::load(&path).is_err(), "{length} of {end} bytes");
    }
    let deep = String::from_utf8(bytes).unwrap();
    let deep = deep.replacen(
        "\"evidence\": {",
        &format!("\"evidence\": {{\"x\": {},", "[".repeat(100_000)),
        1,
    );
    fs::write(&path, deep).unwrap();
    assert!(Report::load(&path).is_err());
}

#[test]
fn hostile_checkpoints_are_refused_or_cut() {
    let folder = tempfile::tempdir().unwrap();
    let network = TwoLayer::random((3, 3, 1), Class::General, Activation::Tanh, 1).unwrap();
    Network::from(network).save(folder.path().join("net.safetensors")).unwrap();
    let arguments = [
        "identify",
        "--network",
        "net.safetensors",
        "--quiet",
        "--checkpoint",
        "c",
        "--backend",
        "cpu",
        "--max-queries",
        "2000",
    ];
    assert_eq!(run(folder.path(), &arguments).status.code(), Some(1));
    let path = folder.path().join("c/queries.log");
    let good = fs::read(&path).unwrap();
    let end = 1 + good.iter().position(|&byte| byte == b'\n').unwrap();
    // A record that says it is longer than the file, or longer than memory.
    for count in [1 << 20, u64::MAX / 8, u64::MAX] {
        let record = [7u64.to_le_bytes(), u64::to_le_bytes(count), [0; 8]].concat();
        fs::write(&path, [&good[..end], &record].concat()).unwrap();
        let output = run(folder.path(), &arguments);
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains("24 bytes that are no whole record"), "{stderr}");
        assert_eq!(stderr.lines().count(), 1, "{stderr}");
    }
    let text = String::from_utf8(good[..end].to_vec()).unwrap();
    let headers = [
        "\n".to_owned(),
        "[".repeat(200_000),
        format!("{}\n", "[".repeat(200_000)),
        text.replace("queries-1", "queries-9"),
        text.replace("\"seed\":0", "\"seed\":\"\\n\\u001b[2J\""),
        text.replace("\"seed\":0", "\"extra\\n\":1,\"seed\":0"),
        "x".repeat(3 << 20),
    ];
    for header in headers {
        fs::write(&path, &header).unwrap();
        complaint(&run(folder.path(), &arguments));
        assert_eq!(fs::read(&path).unwrap(), header.as_bytes(), "it is left as it was");
    }
    fs::remove_file(&path).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &path).unwrap();
    complaint(&run(folder.path(), &arguments));
}
