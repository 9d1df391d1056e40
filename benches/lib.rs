//! What the benchmarks share.

/// Sizes of networks: d, m0, m1.
pub const SHAPES: [(usize, usize, usize); 3] = [(32, 32, 6), (64, 64, 8), (100, 100, 10)];
