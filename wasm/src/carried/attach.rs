//! Engines behind a program's own code, in the program's file:
//!
//! ```text
//! program | compiled engines, each at a multiple of 64 KiB | index as JSON
//! | length of the index, 8 bytes, little-endian | MAGIC
//! ```
//! The kernel maps of a program what its headers name, and does not see what follows.

use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::FileExt as _;
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use super::artifact::{self, ArtifactError};
use super::parts::Parts;
use super::sparse::Sparse;
use super::text::SharedText;
use crate::compile;
use crate::limits::DEFAULT_RENDER_MEMORY_LIMIT;
use crate::target::Target;

const MAGIC: &[u8; 8] = b"ssrengs1";
const TAIL: usize = 8 + MAGIC.len();

/// The largest pages of memory of any machine that we know, in bytes (64-bit ARM).
const ALIGNMENT: u64 = 64 << 10;

/// Longest index, in bytes.
const MAX_INDEX: u64 = 1 << 20;

/// An engine that a program carries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CarriedEngine {
    /// The release that it is of.
    pub version: String,
    /// [`super::parts::CodeDigest`] of its module.
    pub code: String,
    /// The machines that it runs on, as [`Target::name`] names them.
    pub target: String,
    /// 16 hexadecimal digits, different for different machine code.
    pub id: String,
    /// Where its artifact is in the program's file, in bytes.
    offset: u64,
    length: u64,
    /// Where its machine code is in the artifact, in bytes.
    text_offset: u64,
    text_length: u64,
}

/// Why an engine cannot be carried.
#[derive(Debug, thiserror::Error)]
pub enum AttachError {
    /// The program cannot be read or written.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The engine's module does not compile.
    #[error("{0}")]
    Compile(String),
    /// It cannot carry sites.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
}

/// An engine, compiled.
pub struct CompiledEngine {
    engine: CarriedEngine,
    artifact: Vec<u8>,
}

impl CompiledEngine {
    /// Compiles an engine's module for a target.
    ///
    /// # Errors
    /// If it does not compile, or is none of which sites are made.
    pub fn compile(module: &[u8], version: &str, target: Target) -> Result<Self, AttachError> {
        let parts = Parts::of(module).ok_or(ArtifactError::Module)?;
        let artifact = compile::compile_engine(module, target, DEFAULT_RENDER_MEMORY_LIMIT)
            .map_err(AttachError::Compile)?;
        let text = artifact::text(&artifact)?;
        let engine = CarriedEngine {
            version: version.to_owned(),
            code: parts.digest().to_string(),
            target: target.name().to_owned(),
            id: format!("{:016x}", xxh3_64(&artifact)),
            offset: 0,
            length: artifact.len() as u64,
            text_offset: text.start as u64,
            text_length: text.len() as u64,
        };
        // A site that is the engine itself.
        artifact::for_site(artifact.clone(), &parts)?.ok_or(ArtifactError::Module)?;
        Ok(Self { engine, artifact })
    }
}

/// Puts engines behind the program's own code, in place of those that are there.
///
/// # Errors
/// If the program cannot be read, or written to.
pub fn attach(program: &mut File, engines: &[CompiledEngine]) -> io::Result<()> {
    let end = match read_index(program)? {
        Some(index) => index.first().map_or(0, |engine| engine.offset),
        None => program.metadata()?.len(),
    };
    program.set_len(end)?;
    let mut index = Vec::new();
    for CompiledEngine { engine, artifact } in engines {
        let offset = program.seek(SeekFrom::End(0))?.next_multiple_of(ALIGNMENT);
        program.set_len(offset)?;
        program.seek(SeekFrom::End(0))?;
        program.write_all(artifact)?;
        index.push(CarriedEngine { offset, ..engine.clone() });
    }
    if index.is_empty() {
        return Ok(());
    }
    let index = serde_json::to_vec(&index)?;
    program.write_all(&index)?;
    program.write_all(&(index.len() as u64).to_le_bytes())?;
    program.write_all(MAGIC)
}

/// The list of engines, if a program has one.
fn read_index(program: &File) -> io::Result<Option<Vec<CarriedEngine>>> {
    let Some(tail_at) = program.metadata()?.len().checked_sub(TAIL as u64) else { return Ok(None) };
    let mut tail = [0; TAIL];
    program.read_exact_at(&mut tail, tail_at)?;
    let (length, magic) = tail.split_at(8);
    let length = length.try_into().map_or(u64::MAX, u64::from_le_bytes);
    if magic != MAGIC || length > MAX_INDEX.min(tail_at) {
        return Ok(None);
    }
    let mut index = vec![0; usize::try_from(length).unwrap_or_default()];
    program.read_exact_at(&mut index, tail_at - length)?;
    Ok(serde_json::from_slice(&index).ok())
}

/// The engines of a program.
#[derive(Debug)]
pub struct Engines {
    program: File,
    list: Vec<CarriedEngine>,
}

impl Engines {
    /// Those that this program carries and this machine runs. `None` if there are none, or the
    /// program's file cannot be read.
    pub fn of_this_program() -> Option<&'static Self> {
        static ENGINES: OnceLock<Option<Engines>> = OnceLock::new();
        let open = || Self::of(File::open("/proc/self/exe").ok()?).ok().flatten();
        ENGINES.get_or_init(open).as_ref()
    }

    /// Those that a program carries and this machine runs, best first.
    ///
    /// # Errors
    /// If the program cannot be read.
    pub fn of(program: File) -> io::Result<Option<Self>> {
        let mut list = read_index(&program)?.unwrap_or_default();
        let rank = |engine: &CarriedEngine| {
            Target::carried().iter().position(|target| target.name() == engine.target)
        };
        list.retain(|engine| rank(engine).is_some());
        list.sort_by_key(rank);
        Ok((!list.is_empty()).then_some(Self { program, list }))
    }

    /// All of them, best first.
    pub fn list(&self) -> &[CarriedEngine] {
        &self.list
    }

    /// The artifact that wasmtime loads for a site on one of these engines, of which it was made.
    /// `None` if the site has to be compiled.
    ///
    /// # Errors
    /// If the program cannot be read, or was not built as it should.
    pub fn artifact_on(
        &self,
        engine: &CarriedEngine,
        site: &Parts<'_>,
    ) -> io::Result<Option<Sparse<'static>>> {
        artifact::for_site(self.without_text(engine)?, site).map_err(io::Error::other)
    }

    /// An engine's artifact, with zeros for its machine code: most of it, and not needed here.
    fn without_text(&self, engine: &CarriedEngine) -> io::Result<Vec<u8>> {
        let number = |number: u64| usize::try_from(number).map_err(io::Error::other);
        let mut artifact = vec![0; number(engine.length)?];
        let text = number(engine.text_offset)?..number(engine.text_offset + engine.text_length)?;
        let wrong = || io::Error::other("the list of engines in the program is damaged");
        let (before, rest) = artifact.split_at_mut_checked(text.start).ok_or_else(wrong)?;
        let after = rest.get_mut(text.len()..).ok_or_else(wrong)?;
        self.program.read_exact_at(before, engine.offset)?;
        self.program.read_exact_at(after, engine.offset + text.end as u64)?;
        Ok(artifact)
    }

    /// An engine's machine code.
    ///
    /// # Errors
    /// If there are too many open files.
    pub fn text(&self, engine: &CarriedEngine) -> io::Result<SharedText> {
        let length = usize::try_from(engine.text_length).unwrap_or_default();
        Ok(SharedText::new(self.program.try_clone()?, engine.offset + engine.text_offset, length))
    }
}
