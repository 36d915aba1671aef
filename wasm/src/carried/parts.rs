//! A site's module in two parts: the code, which is the engine's and the same in every site that
//! one release has built, and the memory, which is the site's own.

use std::ops::Range;

use sha2::{Digest as _, Sha256};
use wasmparser::{
    BinaryReader, DataKind, DataSectionReader, ExternalKind, MemorySectionReader, Operator, Parser, Payload,
};

use crate::abi::exports;

/// The digest of a module's code part: SHA-256 over its sections of code and what belongs to it
/// (types, imports, functions, tables, globals, elements), and over which functions it exports
/// for the render ABI.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CodeDigest(pub [u8; 32]);

impl std::fmt::Display for CodeDigest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A module's two parts.
#[derive(Debug)]
pub struct Parts<'a> {
    module: &'a [u8],
    /// Sections of the code part, by number, in the module's order.
    code: Vec<(u8, Range<usize>)>,
    /// The functions of the render ABI, by name and index.
    functions: Vec<(&'static str, u32)>,
    limits: (u64, Option<u64>),
    data: Range<usize>,
}

// Numbers of sections (WebAssembly core, 5.5).
const CUSTOM: u8 = 0;
const MEMORY: u8 = 5;
const EXPORT: u8 = 7;
const CODE: u8 = 10;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;

/// Bytes of a page of a memory, and most pages.
const WASM_PAGE: u64 = 64 << 10;
const MAX_PAGES: u64 = 1 << 16;

/// An image of so many bytes may be empty; a larger one may be so many times as long as what is
/// in it, and has no more than so many bytes: the process that makes it has no limits of its own
/// for one module. Larger sites are compiled.
const DENSE: u64 = 1 << 20;
const SPARSE: u64 = 8;
const LARGEST: u64 = 64 << 20;

impl<'a> Parts<'a> {
    /// Takes a core module apart. `None` if it has another form than those that `ssr build` makes:
    /// one memory of its own, and the exports of the render ABI. Validates neither part.
    pub fn of(module: &'a [u8]) -> Option<Self> {
        let (mut code, mut functions) = (Vec::new(), Vec::new());
        let (mut limits, mut data) = (None, 0..0);
        let (mut last, mut memory_exported) = (0, false);
        for payload in Parser::new(0).parse_all(module) {
            let payload = payload.ok()?;
            if let Payload::ExportSection(exports) = &payload {
                for export in exports.clone() {
                    let export = export.ok()?;
                    let function = exports::FUNCTIONS.iter().find(|name| **name == export.name);
                    match (export.kind, function) {
                        (ExternalKind::Func, Some(name)) => functions.push((*name, export.index)),
                        (ExternalKind::Memory, None) => memory_exported |= export.name == exports::MEMORY,
                        (_, Some(_)) => return None,
                        _ => {}
                    }
                }
            }
            if let Payload::MemorySection(memories) = &payload {
                limits = Some(plain_limits(memories)?);
            }
            // Bodies of functions are within their section.
            let Some((id, range)) = payload.as_section() else { continue };
            if id == CUSTOM {
                continue;
            }
            // Each at most once, and in their order, which differs from that of their numbers.
            let rank = if id == DATA_COUNT { CODE * 2 - 1 } else { id * 2 };
            if rank <= last {
                return None;
            }
            last = rank;
            match id {
                DATA => data = range,
                MEMORY | EXPORT => {}
                _ => code.push((id, range)),
            }
        }
        functions.sort_unstable();
        let limits = limits.filter(|_| memory_exported && !data.is_empty())?;
        Some(Self { module, code, functions, limits, data })
    }

    /// The digest of the code part.
    pub fn digest(&self) -> CodeDigest {
        let mut hasher = Sha256::new();
        for (id, range) in &self.code {
            hasher.update([*id]);
            hasher.update((range.len() as u64).to_le_bytes());
            hasher.update(&self.module[range.clone()]);
        }
        for (name, index) in &self.functions {
            hasher.update([EXPORT]);
            hasher.update((name.len() as u64).to_le_bytes());
            hasher.update(name);
            hasher.update(index.to_le_bytes());
        }
        CodeDigest(hasher.finalize().into())
    }

    /// Bytes of the code part.
    pub fn code_size(&self) -> usize {
        self.code.iter().map(|(_, range)| range.len()).sum()
    }

    /// Bytes of the memory's contents in the module.
    pub fn data_size(&self) -> usize {
        self.data.len()
    }

    /// The memory's limits in WebAssembly's pages of 64 KiB: least and most.
    pub fn limits(&self) -> (u64, Option<u64>) {
        self.limits
    }

    /// What the memory holds at first: where that begins, and its bytes, in whole pages of so
    /// many bytes. `None` if it is not known before the module runs, lies outside the memory, or
    /// is mostly empty.
    pub fn image(&self, page: u64) -> Option<(u64, Vec<u8>)> {
        let reader = BinaryReader::new(&self.module[self.data.clone()], 0);
        let mut segments = Vec::new();
        for segment in DataSectionReader::new(reader).ok()? {
            let segment = segment.ok()?;
            // What is passive, code without a count of segments cannot name.
            let DataKind::Active { memory_index: 0, offset_expr } = segment.kind else {
                matches!(segment.kind, DataKind::Passive).then_some(())?;
                continue;
            };
            let mut operators = offset_expr.get_operators_reader();
            let (Ok(Operator::I32Const { value }), Ok(Operator::End)) = (operators.read(), operators.read())
            else {
                return None;
            };
            if !segment.data.is_empty() {
                segments.push((u64::from(value.cast_unsigned()), segment.data));
            }
        }
        let ends = segments.iter().map(|(start, data)| start + data.len() as u64);
        let start = segments.iter().map(|(start, _)| start / page * page).min()?;
        let end = ends.max()?;
        let filled: u64 = segments.iter().map(|(_, data)| data.len() as u64).sum();
        let length = (end - start).next_multiple_of(page);
        let dense = length <= DENSE.max(filled.saturating_mul(SPARSE));
        if end > self.limits.0.checked_mul(WASM_PAGE)? || !dense || length > LARGEST {
            return None;
        }
        let mut image = vec![0; usize::try_from(length).ok()?];
        for (at, data) in segments {
            let at = usize::try_from(at - start).ok()?;
            image[at..at + data.len()].copy_from_slice(data);
        }
        Some((start, image))
    }
}

/// The limits of the memory, if there is one, of 32-bit addresses, that nobody shares.
fn plain_limits(memories: &MemorySectionReader<'_>) -> Option<(u64, Option<u64>)> {
    let mut memories = memories.clone().into_iter();
    let memory = memories.next()?.ok()?;
    let plain = memories.next().is_none()
        && !memory.memory64
        && !memory.shared
        && memory.page_size_log2.is_none()
        && memory.initial <= MAX_PAGES
        && memory.maximum.is_none_or(|maximum| (memory.initial..=MAX_PAGES).contains(&maximum));
    plain.then_some((memory.initial, memory.maximum))
}
