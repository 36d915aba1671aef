//! Runs a module that answers no requests: a WASI command.

use std::fs::File;

use ssr_wasi::command::{Command as Program, Ended, RunError};
use ssr_wasi::{Directory, Grants};
use ssr_wasm::code_source::{CodeSource, file_name};
use ssr_wasm::detect::{self, Kind};

use crate::error::ServeError;
use crate::settings::Settings;

/// A command to run.
pub struct Command {
    /// The path of the module's file, behind which a function may be named: `/app.wasm#main`.
    pub module: String,
    /// Where its compiled code comes from.
    pub code: CodeSource,
    /// The name by which it was called, its first argument.
    pub name: String,
    /// Its other arguments.
    pub args: Vec<String>,
    /// Its environment.
    pub env: Vec<(String, String)>,
    /// Where it starts.
    pub working_directory: Option<String>,
    /// What it may read and write.
    pub directories: Vec<Directory>,
}

/// What a module's path names: a file, and perhaps a function in it.
pub fn split_function(path: &str) -> (&str, Option<&str>) {
    match path.rsplit_once('#') {
        Some((file, function)) if !std::path::Path::new(path).exists() => (file, Some(function)),
        _ => (path, None),
    }
}

/// Runs it with this process's standard streams until it ends. Returns the exit code; errors
/// have been written to standard error by then.
pub fn run_command(command: Command, settings: &Settings) -> u8 {
    log::set_max_level(settings.log_level);
    let result = run(command, settings);
    // After the log lines before it.
    log::logger().flush();
    match result {
        Ok(ended) => {
            if let Ended::Trapped(reason) = &ended {
                eprintln!("ssr: the program was aborted: {reason}");
            }
            ended.exit_code()
        }
        Err(error) => {
            eprintln!("ssr: {error}");
            error.exit_code()
        }
    }
}

fn run(command: Command, settings: &Settings) -> Result<Ended, ServeError> {
    let Command { module, mut code, name, args, env, working_directory, directories } = command;
    let (path, function) = split_function(&module);
    let kind = code.kind(path)?;
    let refused = |reason| ServeError::Module { name: file_name(path), reason };
    match kind {
        Kind::Site(_) => return Err(refused("it is a site: serve it with `ssr serve`".to_owned())),
        Kind::Handler => {
            return Err(refused(
                "it answers requests and is no command: serve it with `ssr serve`".to_owned(),
            ));
        }
        Kind::Command | Kind::CommandComponent => {}
    }
    let source = code.code(path, &settings.limits)?;
    let program =
        Program::load(source.code, &kind).map_err(|error| ServeError::of_load(&source.name, error))?;
    let grants = Grants {
        args: [name].into_iter().chain(args).collect(),
        env,
        working_directory,
        directories,
        network: settings.network.clone(),
        memory_limit: settings.memory_limit,
    };
    program.run(&grants, function).map_err(|error| match error {
        RunError::Module(reason) => ServeError::Module { name: source.name.clone(), reason },
        RunError::Directory(error) => error.into(),
        RunError::Internal(reason) => ServeError::Internal(reason),
    })
}

/// Whether the file at `path` is a module that runs once. A text is taken for one: sites and
/// what answers requests are not written so.
pub fn is_command(path: &str) -> bool {
    let Ok(file) = File::open(path) else { return false };
    match ssr_wasm::text::is_text_file(&file) {
        Ok(true) => true,
        Ok(false) => {
            matches!(detect::kind_of(&file), Ok(Ok(Kind::Command | Kind::CommandComponent)))
        }
        Err(_) => false,
    }
}
