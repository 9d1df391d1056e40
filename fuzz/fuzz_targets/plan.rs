//! Plans of studies, and the grids that they span.
#![no_main]

use disentangle::study::Plan;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<Plan>() {
        Ok(plan) => {
            if let Err(error) = plan.grid() {
                assert!(!error.to_string().is_empty());
            }
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
