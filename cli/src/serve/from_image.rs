//! A site that is served from an image archive.

use std::fs::File;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::signal::{SigSet, Signal};
use ssr_server::STOP_SIGNALS;
use ssr_server::settings::unknown_variables;

use super::Failure;
use super::private_directory::PrivateDirectory;
use crate::image_archive::FileKind;
use crate::image_archive::site::{CannotWrite, Image, Unpacked};

/// Exit codes, as in sysexits.h: wrong arguments, wrong data, and a file that cannot be made.
const USAGE: u8 = 64;
const DATA: u8 = 65;
const CANNOT_CREATE: u8 = 73;

/// A site in an archive that was read and checked.
pub struct ImageSite {
    archive: PathBuf,
    image: Image,
}

/// A site that can be served, as long as the directory is there.
pub struct Prepared {
    pub site: Unpacked,
    pub directory: PrivateDirectory,
}

impl ImageSite {
    /// Reads the archive; `None` if the file is none, or cannot be read.
    pub fn open(path: &str, assets: Option<&Path>) -> Result<Option<Self>, Failure> {
        // What is wrong with the file itself, the server says of all files alike.
        let Ok(mut file) = File::open(path) else { return Ok(None) };
        if !matches!(FileKind::of(&mut file), Ok(FileKind::Archive)) {
            return Ok(None);
        }
        if let Some(assets) = assets {
            let message = format!(
                "'{path}' is an image archive, which has its own assets: leave '{}' out",
                assets.display()
            );
            return Err(Failure { message, exit_code: USAGE });
        }
        let archive = PathBuf::from(path);
        let image = Image::read(file).map_err(|error| failure(&archive, &error))?;
        Ok(Some(Self { archive, image }))
    }

    /// Adds the image's environment. As in a container, what the process was given counts.
    pub fn add_env(&self, env: &mut Vec<(String, String)>) {
        let of_image = self.image.env();
        for name in unknown_variables(&of_image) {
            log::warn!("{name}, which the image sets, is not a setting of this server; is it misspelled?");
        }
        for (name, value) in of_image {
            if env.iter().all(|(other, _)| *other != name) {
                env.push((name, value));
            }
        }
    }

    /// Unpacks it; `None` if a signal said to stop. From here on such a signal waits until the
    /// server takes it, so that the files are removed.
    pub fn unpack(self) -> Result<Option<Prepared>, Failure> {
        hold_stop_signals();
        let directory = PrivateDirectory::create().map_err(|error| Failure {
            message: format!("cannot make a directory for the image's files: {error:#}"),
            exit_code: CANNOT_CREATE,
        })?;
        let unpacked = self.image.unpack(directory.path(), &stop_requested);
        let unpacked = unpacked.map_err(|error| failure(&self.archive, &error))?;
        Ok(unpacked.map(|site| Prepared { site, directory }))
    }
}

fn failure(archive: &Path, error: &anyhow::Error) -> Failure {
    let archive = archive.display();
    match error.is::<CannotWrite>() {
        true => Failure {
            message: format!(
                "{error:#}; make room there, or set XDG_CACHE_HOME to a directory on another file system"
            ),
            exit_code: CANNOT_CREATE,
        },
        false => Failure { message: format!("cannot serve '{archive}': {error:#}"), exit_code: DATA },
    }
}

fn stop_signals() -> impl Iterator<Item = Signal> {
    STOP_SIGNALS.into_iter().filter_map(|number| Signal::try_from(number).ok())
}

fn hold_stop_signals() {
    if let Err(error) = stop_signals().collect::<SigSet>().thread_block() {
        log::warn!("cannot hold signals while the image is unpacked: {error}");
    }
}

/// Whether one of the signals waits.
fn stop_requested() -> bool {
    let mut pending = std::mem::MaybeUninit::uninit();
    // SAFETY: `sigpending` initializes the set if it returns 0.
    unsafe {
        libc::sigpending(pending.as_mut_ptr()) == 0
            && STOP_SIGNALS.iter().any(|&number| libc::sigismember(pending.as_ptr(), number) == 1)
    }
}
