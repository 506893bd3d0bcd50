//! `hivesync completions` and `hivesync man`: made from the command tree, so
//! that they cannot lag behind it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use clap_complete::Shell;

use crate::error::{Context, Result};

#[derive(Args, Debug)]
pub struct CompletionsArgs {
    /// The shell, such as bash, zsh or fish
    shell: Shell,
}

#[derive(Args, Debug)]
pub struct ManArgs {
    /// Write hivesync.1 and a page for each command into this folder
    #[arg(value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub fn completions(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut super::tree(), "hivesync", &mut script);
    write_out(&script)
}

pub fn man(args: &ManArgs) -> Result<ExitCode> {
    if let Some(folder) = &args.folder {
        std::fs::create_dir_all(folder).or_internal("make the folder for the man pages")?;
        clap_mangen::generate_to(super::tree(), folder).or_internal("write the man pages")?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut page = Vec::new();
    clap_mangen::Man::new(super::tree())
        .render(&mut page)
        .or_internal("write the man page")?;
    write_out(&page)
}

/// A reader that has seen enough is no failure.
fn write_out(bytes: &[u8]) -> Result<ExitCode> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(e) if e.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(e).or_internal("write to stdout")
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}
