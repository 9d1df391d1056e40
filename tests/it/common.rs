//! What several modules need.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// One of the trained networks of `tests/networks`.
pub fn trained(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/networks").join(name)
}

/// Says that the test that asks is skipped, and why; under continuous integration it fails.
pub fn skip(why: &str) {
    assert!(std::env::var_os("CI").is_none(), "continuous integration skips no test: {why}");
    say_skipped(why);
}

/// Says so, for a test of what not every machine has, continuous integration included.
///
/// Straight to standard error: of what `eprintln!` writes in a test that passes, the harness shows
/// nothing.
pub fn say_skipped(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = std::io::stderr().write_all(format!("\n*** SKIPPED {test}: {why} ***\n").as_bytes());
}

/// Whether `python3` can run `code`, `import numpy` for instance. If not, the test that asks is
/// skipped.
pub fn python_can(code: &str) -> bool {
    let output = Command::new("python3").args(["-c", code]).output();
    let can = output.is_ok_and(|output| output.status.success());
    if !can {
        skip(&format!("python3 cannot run `{code}`"));
    }
    can
}
