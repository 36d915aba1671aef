//! The engines that this program has itself: for a site that was made of one of them, nothing is
//! compiled.

use std::fs::File;
use std::io;

use nix::sys::memfd::{MemFdCreateFlag, memfd_create};

use crate::carried::attach::{CarriedEngine, Engines};
use crate::carried::parts::Parts;
use crate::carried::sparse::Sparse;
use crate::carried::text::SharedText;
use crate::compile::{CompiledCode, MachineCode, OWN_ENGINES};
use crate::linked::{self, LinkedEngine, image};
use crate::target::Target;

/// An engine of this program.
#[derive(Debug, Clone, Copy)]
pub enum OwnEngine<'a> {
    /// See [`crate::linked`].
    Linked(&'static LinkedEngine),
    /// See [`crate::carried`].
    Carried(&'a Engines, &'a CarriedEngine),
}

/// All of them, best first.
pub fn all() -> impl Iterator<Item = OwnEngine<'static>> {
    linked::all()
        .iter()
        .map(OwnEngine::Linked)
        .chain(Engines::of_this_program().into_iter().flat_map(carried))
}

/// Those that a program carries.
pub fn carried(engines: &Engines) -> impl Iterator<Item = OwnEngine<'_>> {
    engines.list().iter().map(move |engine| OwnEngine::Carried(engines, engine))
}

/// The engine among these that a site was made of.
pub fn of_site<'a>(engines: impl Iterator<Item = OwnEngine<'a>>, site: &Parts<'_>) -> Option<OwnEngine<'a>> {
    // Without engines there is nothing to hash for.
    let mut engines = engines.peekable();
    engines.peek()?;
    let digest = site.digest().to_string();
    engines.find(|engine| engine.code() == digest)
}

/// The engine with this [`OwnEngine::id`].
pub fn with_id(id: &str) -> Option<OwnEngine<'static>> {
    all().find(|engine| engine.id() == id)
}

impl<'a> OwnEngine<'a> {
    /// The release that it is of.
    pub fn version(&self) -> &'a str {
        match self {
            Self::Linked(engine) => engine.version,
            Self::Carried(_, engine) => &engine.version,
        }
    }

    /// 16 hexadecimal digits, which name code that only this engine runs.
    pub fn id(&self) -> &'a str {
        match self {
            Self::Linked(engine) => engine.id,
            Self::Carried(_, engine) => &engine.id,
        }
    }

    /// The machine that it is for, as [`Target::name`] names it.
    pub fn target(&self) -> &'a str {
        match self {
            Self::Linked(_) => Target::Host.name(),
            Self::Carried(_, engine) => &engine.target,
        }
    }

    fn code(&self) -> &'a str {
        match self {
            Self::Linked(engine) => engine.code,
            Self::Carried(_, engine) => &engine.code,
        }
    }

    /// What a site adds to this engine, of which it was made. `None` if the site has to be compiled.
    ///
    /// # Errors
    /// If the program cannot be read, or was not built as it should.
    pub fn file_of(&self, site: &Parts<'_>) -> io::Result<Option<Sparse<'static>>> {
        match self {
            Self::Linked(_) => Ok(image::encode(site)),
            Self::Carried(engines, engine) => engines.artifact_on(engine, site),
        }
    }

    /// Its machine code. `read_only` gets it as a file, and returns one that nobody can change.
    ///
    /// # Errors
    /// If the program cannot be opened again, or `read_only` fails.
    pub fn machine_code(
        &self,
        read_only: impl FnOnce(SharedText) -> io::Result<SharedText>,
    ) -> io::Result<MachineCode> {
        match self {
            Self::Linked(engine) => Ok(MachineCode::Linked(engine)),
            Self::Carried(engines, engine) => {
                engines.text(engine).and_then(read_only).map(MachineCode::Shared)
            }
        }
    }
}

/// A site's code on one of these engines, in memory. `None` if the site has to be compiled.
///
/// # Errors
/// If the program cannot be read, was not built as it should, or there is no memory.
pub fn code<'a>(
    engines: impl Iterator<Item = OwnEngine<'a>>,
    site: &[u8],
) -> io::Result<Option<(OwnEngine<'a>, CompiledCode)>> {
    let Some(parts) = Parts::of(site) else { return Ok(None) };
    let Some(engine) = of_site(engines, &parts) else { return Ok(None) };
    let Some(content) = engine.file_of(&parts)? else { return Ok(None) };
    let mut file = File::from(memfd_create(c"site", MemFdCreateFlag::MFD_CLOEXEC)?);
    content.write(&mut file)?;
    // This program's file, which only who installs it changes.
    let machine = engine.machine_code(Ok)?;
    Ok(Some((engine, CompiledCode { file, interruption: OWN_ENGINES, machine })))
}
