//! What several test files need.

use std::process::Command;

/// Whether `python3` can run `code`, `import numpy` for instance. If not, the test that asks is
/// skipped, and says so; under continuous integration it fails.
pub fn python_can(code: &str) -> bool {
    let output = Command::new("python3").args(["-c", code]).output();
    let can = output.is_ok_and(|output| output.status.success());
    if !can {
        assert!(std::env::var_os("CI").is_none(), "python3 cannot run `{code}`");
        eprintln!("SKIPPED: python3 cannot run `{code}`");
    }
    can
}
