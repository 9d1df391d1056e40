//! A table put into its place in a document, so that nobody copies figures by hand.

use std::io;
use std::path::{Path, PathBuf};

use crate::files::{check_writable, read_regular, write_atomically};

/// A document that does not take a table.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InsertError {
    /// The operating system would not give the file.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file is no text, or has no place for it.
    #[error("{}: there are no lines \"{begin}\" and, below, \"{END}\"", path.display())]
    NoPlace {
        /// The file.
        path: PathBuf,
        /// The line above the table.
        begin: String,
    },
    /// The operating system would not take the file.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// The line below a table.
const END: &str = "<!-- end of study -->";

/// Puts `table` in the place of what is between the lines `<!-- study NAME -->` and
/// `<!-- end of study -->` of a file.
///
/// # Errors
/// [`InsertError`].
pub fn insert(path: &Path, name: &str, table: &str) -> Result<(), InsertError> {
    let text = with_table(path, name, table)?;
    write_atomically(path, text.as_bytes())
        .map_err(|source| InsertError::Write { path: path.to_owned(), source })
}

/// Whether [`insert`] can do its work, as far as can be told beforehand.
///
/// # Errors
/// Those that it would have.
pub fn check_insert(path: &Path, name: &str) -> Result<(), InsertError> {
    with_table(path, name, "")?;
    check_writable(path).map_err(|source| InsertError::Write { path: path.to_owned(), source })
}

/// The document with the table in its place.
fn with_table(path: &Path, name: &str, table: &str) -> Result<String, InsertError> {
    let owned = || path.to_owned();
    let begin = format!("<!-- study {name} -->");
    let bytes = read_regular(path).map_err(|source| InsertError::Read { path: owned(), source })?;
    let text = str::from_utf8(&bytes).ok().and_then(|text| inserted(text, &begin, table));
    text.ok_or_else(|| InsertError::NoPlace { path: owned(), begin })
}

fn inserted(text: &str, begin: &str, table: &str) -> Option<String> {
    let (above, rest) = text.split_once(&format!("{begin}\n"))?;
    let (_, below) = rest.split_once(&format!("{END}\n"))?;
    Some(format!("{above}{begin}\n\n{}\n\n{END}\n{below}", table.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_takes_the_place_of_the_one_before() {
        let (begin, text) = ("<!-- study a -->", "x\n<!-- study a -->\n<!-- end of study -->\ny\n");
        let once = inserted(text, begin, "| 1 |\n").unwrap();
        assert_eq!(once, "x\n<!-- study a -->\n\n| 1 |\n\n<!-- end of study -->\ny\n");
        let twice = inserted(&once, begin, "| 2 |\n").unwrap();
        assert_eq!(twice, once.replace('1', "2"));
        assert_eq!(inserted(text, "<!-- study b -->", ""), None);
        assert_eq!(inserted("<!-- study a -->\n", begin, ""), None);
    }
}
