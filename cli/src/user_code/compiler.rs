//! Compiles a module in a process of its own.

use std::io::{self, Cursor, Read as _, Write as _};
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Command, ExitCode, Stdio};

use clap::Args;
use nix::sys::signal::Signal;
use ssr_code_cache::entry;
use ssr_code_cache::provide::{AttemptError, CompileRequest, Described};
use ssr_code_cache::read_only::ReadOnlyFile;
use ssr_wasm::target::Target;

/// `ssr`'s command that is this process. The module is on standard input; code as a cache has it, or
/// the reason why there is none, goes to standard output.
pub const COMMAND: &str = "compile";

/// Exit code: the module is at fault (sysexits.h, EX_DATAERR).
const REFUSED: u8 = 65;

/// Arguments of the command.
#[derive(Args)]
pub struct CompileArgs {
    /// The module's name, for people
    name: String,
    /// The memory limit of a render in bytes
    render_memory_limit: usize,
}

/// Starts the process, and takes its code.
pub fn compile(request: &CompileRequest<'_>) -> Result<Described, AttemptError> {
    log::info!("compiling {}", request.name);
    let module = ReadOnlyFile::in_memory(|file| file.write_all(request.module))?;
    let compiler = Command::new("/proc/self/exe")
        .arg0("ssr")
        .args([COMMAND, request.name, &request.render_memory_limit.to_string()])
        .stdin(module.into_file())
        .stdout(Stdio::piped())
        .spawn()?;
    let output = compiler.wait_with_output()?;
    let code = match (output.status.code(), output.status.signal()) {
        (Some(0), _) => output.stdout,
        (Some(code), _) if code == i32::from(REFUSED) => {
            return Err(AttemptError::Module(String::from_utf8_lossy(&output.stdout).into_owned()));
        }
        // After a failed allocation, and by the kernel when there is no memory.
        (_, Some(6 | 9)) => {
            return Err(AttemptError::Exhausted(
                "it does not compile: the compiler ran out of memory".to_owned(),
            ));
        }
        _ => return Err(io::Error::other(format!("the compiler failed: {}", output.status)).into()),
    };
    let (metadata, code) = entry::parse(&code).map_err(io::Error::other)?;
    Ok((metadata, code.to_vec().into()))
}

/// Compiles the module on standard input.
pub fn run(args: &CompileArgs) -> ExitCode {
    match to_standard_output(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(AttemptError::Module(reason) | AttemptError::Exhausted(reason)) => {
            // A reason that cannot be written is missing there.
            let _ = io::stdout().write_all(reason.as_bytes());
            ExitCode::from(REFUSED)
        }
        Err(AttemptError::System(error)) => {
            log::error!("the compiler failed: {error}");
            ExitCode::FAILURE
        }
    }
}

fn to_standard_output(args: &CompileArgs) -> Result<(), AttemptError> {
    // Nobody waits for code after a server has been stopped.
    nix::sys::prctl::set_pdeathsig(Signal::SIGKILL).map_err(io::Error::from)?;
    let mut module = Vec::new();
    io::stdin().read_to_end(&mut module)?;
    let CompileArgs { name, render_memory_limit } = args;
    let request = CompileRequest { module: &module, name, render_memory_limit: *render_memory_limit };
    let (metadata, code) = request.compile(Target::Host)?;
    let mut file = Cursor::new(Vec::new());
    entry::write(&mut file, &metadata, &code)?;
    Ok(io::stdout().write_all(file.get_ref())?)
}
