//! Reports: what is read is written, and read again as the same.
#![no_main]

use disentangle::Report;
use disentangle_fuzz::Scratch;
use libfuzzer_sys::fuzz_target;

thread_local!(static SCRATCH: Scratch = Scratch::new("report.json"));

fuzz_target!(|bytes: &[u8]| {
    SCRATCH.with(|scratch| {
        let path = scratch.file(bytes);
        if let Ok(report) = Report::load(path) {
            report.save(path).expect("a report is written");
            assert_eq!(Report::load(path).expect("our own report is read"), report);
        }
    });
});
