//! One hidden layer: the network, its file, and two of them side by side.

mod format;
mod matching;
mod network;

pub use format::is_shallow;
pub use network::Shallow;
