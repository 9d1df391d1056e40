//! `disentangle completions` and `disentangle manual`: what shells and `man` want to know of the program.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::{Cli, Outcome, SUCCESS};

const NAME: &str = "disentangle";

/// Print completions for a shell, to be put where it looks for them
#[derive(Args, Debug)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

impl Completions {
    /// Prints the script.
    pub fn run(self) -> Outcome {
        let mut script = Vec::new();
        clap_complete::generate(self.shell, &mut Cli::command(), NAME, &mut script);
        super::print(&String::from_utf8_lossy(&script))?;
        Ok(SUCCESS)
    }
}

/// Write the man pages: one for the program and one for each subcommand
#[derive(Args, Debug)]
pub struct Manual {
    /// Folder to write them to, share/man/man1 for instance; it must be there
    #[arg(value_name = "DIR")]
    folder: PathBuf,
}

impl Manual {
    /// Writes the pages and says how many.
    pub fn run(self) -> Outcome {
        // Built, so that a page names its subcommand with the program's name before it.
        let mut program = Cli::command();
        program.build();
        let subcommands = program.get_subcommands().filter(|command| command.get_name() != "help");
        let mut pages = 0;
        for command in std::iter::once(&program).chain(subcommands) {
            clap_mangen::Man::new(command.clone())
                .generate_to(&self.folder)
                .map_err(|error| format!("cannot write to {}: {error}", self.folder.display()))?;
            pages += 1;
        }
        super::print(&format!("{pages} pages in {}\n", self.folder.display()))?;
        Ok(SUCCESS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn there_is_a_page_for_each_subcommand() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        assert_eq!(Manual { folder: path.clone() }.run().unwrap(), SUCCESS);
        let page = std::fs::read_to_string(path.join("disentangle-identify.1")).unwrap();
        assert!(page.contains("max\\-queries") && page.contains("disentangle\\-identify"));
        assert!(path.join("disentangle.1").exists());
        assert!(Manual { folder: path.join("none") }.run().is_err());
    }
}
