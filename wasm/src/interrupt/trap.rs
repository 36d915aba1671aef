//! Instructions of compiled code that always trap.

use object::{Architecture, Object as _, ObjectSection as _, ObjectSymbol as _};
use wasmtime_environ::{iterate_traps, obj::ELF_WASMTIME_TRAPS};

/// The offset in the text section of one that is the processor's own trap instruction,
/// in a module's compiled code as wasmtime serializes it. `None` if there is none.
pub fn find(image: &[u8]) -> Option<usize> {
    let file = object::File::parse(image).ok()?;
    // The instructions that Cranelift emits for a trap: `ud2`, `udf #0xc11f`.
    let trap: &[u8] = match file.architecture() {
        Architecture::X86_64 => &[0x0f, 0x0b],
        Architecture::Aarch64 => &[0x1f, 0xc1, 0x00, 0x00],
        _ => return None,
    };
    let text = file.section_by_name(".text")?.data().ok()?;
    let traps = file.section_by_name(ELF_WASMTIME_TRAPS)?;
    iterate_traps(traps.data().ok()?)?
        .map(|(offset, _)| offset as usize)
        .find(|&offset| text.get(offset..).is_some_and(|code| code.starts_with(trap)))
}

/// Where the text section is in the image of compiled code, and starts and ends in it of the
/// functions that were WebAssembly: not of the trampolines between them and the host.
pub fn functions(image: &[u8]) -> Option<(usize, Vec<(usize, usize)>)> {
    let file = object::File::parse(image).ok()?;
    let text = file.section_by_name(".text")?;
    let (offset, _) = text.file_range()?;
    let functions = file.symbols().filter_map(|symbol| {
        let (_, name) = symbol.name().ok()?.split_once("]::function[")?;
        let is_function = name.split_once(']').is_some() && symbol.section_index() == Some(text.index());
        let start = usize::try_from(symbol.address()).ok()?;
        is_function.then_some((start, start + usize::try_from(symbol.size()).ok()?))
    });
    Some((usize::try_from(offset).ok()?, functions.collect()))
}
