//! Records of finished runs, and the tables made of them.
#![no_main]

use disentangle::study::{Summary, load};
use disentangle_fuzz::Scratch;
use libfuzzer_sys::fuzz_target;

thread_local!(static SCRATCH: Scratch = Scratch::new("runs.jsonl"));

fuzz_target!(|bytes: &[u8]| {
    SCRATCH.with(|scratch| {
        scratch.file(bytes);
        if let Ok(stored) = load(scratch.folder()) {
            assert!(stored.torn <= bytes.len());
            let summary = Summary::of(&stored.records);
            assert!(stored.records.is_empty() || !summary.cells.is_empty());
        }
    });
});
