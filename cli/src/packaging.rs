//! `ssr completions` and `ssr man`: files that packages install beside `ssr`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use clap::Command;
use clap_complete::Shell;
use clap_mangen::Man;

use crate::output::print;

/// Arguments of `ssr completions`.
#[derive(Debug, clap::Args)]
pub struct CompletionsArgs {
    /// The shell that reads the script
    #[arg(value_name = "SHELL")]
    shell: Shell,
}

/// Arguments of `ssr man`.
#[derive(Debug, clap::Args)]
pub struct ManArgs {
    /// Write ssr.1 and a page for each subcommand (ssr-build.1, …) into this directory, which is created if missing
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

/// Prints a shell's completion script for `command`.
pub fn completions(args: &CompletionsArgs, mut command: Command) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "ssr", &mut script);
    print(&script)
}

/// Prints the man page of `command`, or writes it and those of all subcommands.
pub fn man(args: &ManArgs, command: Command) -> Result<()> {
    // `help` is no command of its own: it gets no page and no mention.
    let command = command.disable_help_subcommand(true);
    let Some(directory) = &args.dir else {
        let mut page = Vec::new();
        Man::new(command).render(&mut page).context("cannot make the man page")?;
        return print(&page);
    };
    fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(command, directory))
        .with_context(|| format!("cannot write man pages into '{}'", directory.display()))
}
