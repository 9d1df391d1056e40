//! What can go wrong with `identify` itself; that a network cannot be identified is a result.

use super::settings::SettingsError;
use crate::oracle::OracleError;

/// Why a run ended without a [`Solution`](crate::Solution).
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentifyError {
    /// Settings that do not fit the black box, or each other; nothing was asked.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// The black box broke: an answer that is not finite, a dead process.
    #[error(transparent)]
    Oracle(#[from] OracleError),
}
