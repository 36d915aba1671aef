//! Modules that are no sites, with what their container has.

use std::mem::MaybeUninit;
use std::path::PathBuf;

use nix::sys::stat::{SFlag, fstat};
use nix::sys::statvfs::{FsFlags, fstatvfs};
use ssr_server::settings::{Settings, unknown_variables};
use ssr_server::{Command, ProgramFiles, STOP_SIGNALS, run_command, split_function};
use ssr_wasi::{Directory, container_directories};

use super::FAILED;
use crate::compile::handover;
use crate::helper::inherited_fds::IMAGE;

/// Exit code for a setting that is invalid (EX_CONFIG).
const INVALID_SETTING: u8 = 78;

/// Runs the module that the first of `args` names, and returns its exit code.
pub fn run(args: &[String], env: Vec<(String, String)>) -> u8 {
    if let Err(error) = end_on_signals() {
        eprintln!("ssr: cannot start a thread ({error}): the container's pids limit may be too low");
        return FAILED;
    }
    let settings = match Settings::for_command(&env) {
        Ok(settings) => settings,
        Err(error) => {
            eprintln!("ssr: {error}");
            return INVALID_SETTING;
        }
    };
    for name in unknown_variables(&env) {
        log::warn!("{name} is not a setting of this runtime; is it misspelled?");
    }
    let directories = directories();
    let (module, name, args) = match args {
        [option, name, module, args @ ..] if option == super::AS => (module, name.as_str(), args),
        [module, args @ ..] => (module, split_function(module).0, args),
        [] => {
            eprintln!("ssr: no module was given");
            return super::USAGE;
        }
    };
    let command = Command {
        module: module.clone(),
        name: name.to_owned(),
        code: handover::code_source(),
        args: args.to_vec(),
        working_directory: std::env::current_dir().ok().and_then(|path| path.to_str().map(str::to_owned)),
        env,
        directories,
    };
    run_command(command, &settings)
}

/// The files of programs that run for each request.
pub fn files_of_programs() -> ProgramFiles {
    let directories = directories();
    ProgramFiles { given: directories.clone(), volumes_in: directories }
}

/// The container's directories, as far as a program may use them.
fn directories() -> Vec<Directory> {
    container_directories(image()).unwrap_or_else(|error| {
        log::warn!("the module has no files: /proc/self/mountinfo cannot be read: {error}");
        Vec::new()
    })
}

/// The image's files, if the helper has left them to this process.
fn image() -> Option<Directory> {
    let kind = fstat(IMAGE).map(|file| SFlag::from_bits_truncate(file.st_mode) & SFlag::S_IFMT);
    if kind != Ok(SFlag::S_IFDIR) {
        log::warn!(
            "the module has its volumes but not the image's files: that needs Linux 5.2, and 5.12 for --read-only"
        );
        return None;
    }
    // SAFETY: the helper has left it to this process, which never closes it.
    let image = unsafe { std::os::fd::BorrowedFd::borrow_raw(IMAGE) };
    let read_only = fstatvfs(image).is_ok_and(|system| system.flags().contains(FsFlags::ST_RDONLY));
    Some(Directory {
        host: PathBuf::from(format!("/proc/self/fd/{IMAGE}")),
        guest: "/".to_owned(),
        read_only,
    })
}

/// Ends this process when a signal arrives that ends programs: the kernel drops what the first
/// process of a PID namespace does not catch, and a WASI program cannot.
fn end_on_signals() -> std::io::Result<()> {
    let mut set = MaybeUninit::uninit();
    // SAFETY: the set is initialized by `sigemptyset`.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        for signal in STOP_SIGNALS {
            libc::sigaddset(set.as_mut_ptr(), signal);
        }
        // In every thread: they inherit it.
        libc::pthread_sigmask(libc::SIG_BLOCK, set.as_ptr(), std::ptr::null_mut());
        set.assume_init()
    };
    let wait = move || {
        let mut signal = 0;
        // SAFETY: the set is initialized; at once, since the program's threads do not end.
        unsafe {
            libc::sigwait(&raw const set, &raw mut signal);
            libc::_exit(128 + signal);
        }
    };
    std::thread::Builder::new().name("ssr-signals".to_owned()).stack_size(64 << 10).spawn(wait).map(drop)
}
