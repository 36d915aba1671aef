//! What wasmtime loads for a site: the engine's compiled code, as wasmtime serialized it, with the
//! site's memory in place of the engine's own, and nothing in place of the machine code.

use std::ops::Range;

use wasmtime_environ::obj::{ELF_WASM_DATA, ELF_WASMTIME_INFO};
use wasmtime_environ::{
    CompiledFunctionsTable, CompiledModuleInfo, EntityRef as _, MemoryIndex, MemoryInitialization,
    ModuleTypes, RuntimeDataIndex,
};

use super::parts::Parts;
use super::sparse::Sparse;

/// The section of machine code.
const TEXT: &str = ".text";

/// Sizes and places in a 64-bit ELF file of little-endian numbers (System V ABI, chapter 4).
const SECTION_HEADERS_AT: usize = 0x28;
const SECTION_HEADER: usize = 64;
const OFFSET_IN_HEADER: usize = 24;
const SIZE_IN_HEADER: usize = 32;

/// Why an engine's compiled code cannot carry sites. It is a fault of the build.
#[derive(Debug, thiserror::Error)]
pub enum ArtifactError {
    /// It is no ELF file, or one of another form.
    #[error("the engine's compiled code is no ELF file of wasmtime's: {0}")]
    Form(String),
    /// The module has another form than sites.
    #[error("the engine's module is none whose memory can be replaced")]
    Module,
}

/// What wasmtime notes about a module, in the order in which it does.
type Info = (CompiledModuleInfo, CompiledFunctionsTable, ModuleTypes);

/// Makes a site's artifact of its engine's. In place of the machine code, which `engine` need not
/// have, are zeros; see [`super::text::SharedText`]. `Ok(None)` if the site's memory is none that can be known before it
/// runs, or not one that the engine could have: then the site has to be compiled.
///
/// # Errors
/// If the engine's artifact is of another form.
pub fn for_site(mut engine: Vec<u8>, site: &Parts<'_>) -> Result<Option<Sparse<'static>>, ArtifactError> {
    let text = section(&engine, TEXT)?;
    let data = section(&engine, ELF_WASM_DATA)?;
    let info_section = section(&engine, ELF_WASMTIME_INFO)?;
    let mut info: Info = postcard::from_bytes(&engine[info_section.range.clone()])
        .map_err(|error| ArtifactError::Form(error.to_string()))?;
    let page = data.alignment.max(1);
    let Some((start, image)) = site.image(page) else { return Ok(None) };
    let module = &mut info.0.module;
    let memory = module.memories.values_mut().next().ok_or(ArtifactError::Module)?;
    let (least, most) = site.limits();
    if least < memory.limits.min || most != memory.limits.max {
        return Ok(None);
    }
    memory.limits.min = least;
    let MemoryInitialization::Static { map } = &mut module.memory_initialization else {
        return Err(ArtifactError::Module);
    };
    let initial = map.get_mut(MemoryIndex::new(0)).and_then(Option::as_mut).ok_or(ArtifactError::Module)?;
    initial.0 = start;
    let length = u32::try_from(image.len()).map_err(|_| ArtifactError::Module)?;
    let range = module.runtime_data.get_mut(RuntimeDataIndex::new(initial.1.index()));
    *range.ok_or(ArtifactError::Module)? = 0..length;
    let info = postcard::to_allocvec(&info).map_err(|error| ArtifactError::Form(error.to_string()))?;

    // Both are longer or shorter than the engine's, and go behind all that is there.
    let mut end = engine.len();
    let mut place = |section: &Section, content: &[u8]| {
        let at = end.next_multiple_of(usize::try_from(page).unwrap_or(1));
        end = at + content.len();
        section.point_to(&mut engine, at..end);
        at as u64
    };
    let (image_at, info_at) = (place(&data, &image), place(&info_section, &info));
    let mut replaced = [text.range, data.range, info_section.range];
    replaced.sort_unstable_by_key(|range| range.start);
    let mut artifact = Sparse::default();
    let mut at = 0;
    for range in replaced {
        artifact.add(at as u64, engine[at..range.start].to_vec());
        at = range.end;
    }
    artifact.add(at as u64, engine[at..].to_vec());
    artifact.add_blocks(image_at, &image);
    artifact.add(info_at, info);
    Ok(Some(artifact))
}

/// Where the machine code is in an artifact.
///
/// # Errors
/// If it is of another form.
pub fn text(artifact: &[u8]) -> Result<Range<usize>, ArtifactError> {
    Ok(section(artifact, TEXT)?.range)
}

/// A section of an ELF file.
struct Section {
    range: Range<usize>,
    alignment: u64,
    /// Where its header is.
    header: usize,
}

impl Section {
    /// Changes where its content is.
    fn point_to(&self, file: &mut [u8], content: Range<usize>) {
        for (at, number) in [(OFFSET_IN_HEADER, content.start), (SIZE_IN_HEADER, content.len())] {
            let at = self.header + at;
            file[at..at + 8].copy_from_slice(&(number as u64).to_le_bytes());
        }
    }
}

fn section(file: &[u8], name: &str) -> Result<Section, ArtifactError> {
    use object::{Object as _, ObjectSection as _};
    let form = |error: object::Error| ArtifactError::Form(error.to_string());
    let parsed = object::read::elf::ElfFile64::<object::LittleEndian>::parse(file).map_err(form)?;
    let missing = || ArtifactError::Form(format!("it has no section {name}"));
    let section = parsed.section_by_name(name).ok_or_else(missing)?;
    let (start, length) = section.file_range().ok_or_else(missing)?;
    let number = |number: u64| usize::try_from(number).map_err(|_| missing());
    let headers = file.get(SECTION_HEADERS_AT..).and_then(|rest| rest.first_chunk()).ok_or_else(missing)?;
    let start = number(start)?;
    Ok(Section {
        range: start..start + number(length)?,
        alignment: section.align(),
        header: number(u64::from_le_bytes(*headers))? + section.index().0 * SECTION_HEADER,
    })
}
