//! Modules in files: their size limit, which holds before anything of them is read, and
//! their digest.

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};

use bytesize::ByteSize;
use sha2::{Digest as _, Sha256};
use ssr_wasm::compile::CompileError;

/// Largest module that a node hashes or compiles, in bytes. Sites have some megabytes.
pub const MAX_MODULE_SIZE: u64 = 256 << 20;

/// Why a module is not read.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// It is larger than [`MAX_MODULE_SIZE`].
    #[error(
        "the file of '{name}' has {size} bytes, and a node compiles modules of at most {MAX_MODULE_SIZE} bytes \
         ({}); leave data out of the site's server bundle",
        ByteSize::b(MAX_MODULE_SIZE)
    )]
    TooLarge {
        /// The module's name.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] io::Error),
}

impl From<ModuleError> for CompileError {
    fn from(error: ModuleError) -> Self {
        match error {
            ModuleError::TooLarge { .. } => Self::Module(error.to_string()),
            ModuleError::Read(error) => Self::System(error),
        }
    }
}

/// The size of a module's file in bytes, unless it is larger than [`MAX_MODULE_SIZE`]. It is
/// the logical size, which holes in a file count towards.
pub fn check_size(module: &File, name: &str) -> Result<u64, ModuleError> {
    match module.metadata()?.len() {
        size @ ..=MAX_MODULE_SIZE => Ok(size),
        size => Err(ModuleError::TooLarge { name: name.to_owned(), size }),
    }
}

/// What tells whether a file is still the one that it was: its device and inode, its size in
/// bytes, and the times of its last changes in seconds and nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileState {
    inode: (u64, u64),
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl FileState {
    /// That of an open file.
    pub fn of(file: &File) -> io::Result<Self> {
        let file = file.metadata()?;
        Ok(Self {
            inode: (file.dev(), file.ino()),
            size: file.len(),
            modified: (file.mtime(), file.mtime_nsec()),
            changed: (file.ctime(), file.ctime_nsec()),
        })
    }
}

/// SHA-256 of a module, in hexadecimal digits.
pub fn digest(module: &[u8]) -> String {
    format!("{:x}", Sha256::digest(module))
}

/// SHA-256 of a module in a file, wherever the file's offset is. `name` is for people.
pub fn digest_file(module: &File, name: &str) -> Result<String, ModuleError> {
    let mut digest = Sha256::new();
    read(module, name, |bytes| digest.update(bytes))?;
    Ok(format!("{:x}", digest.finalize()))
}

/// Reads a module from a file, wherever the file's offset is: the container's process shares
/// the open file. `name` is for people.
pub fn read_file(module: &File, name: &str) -> Result<Vec<u8>, ModuleError> {
    let size = check_size(module, name)?;
    let mut bytes = Vec::with_capacity(usize::try_from(size).map_err(io::Error::other)?);
    read(module, name, |part| bytes.extend_from_slice(part))?;
    Ok(bytes)
}

fn read(module: &File, name: &str, mut each: impl FnMut(&[u8])) -> Result<(), ModuleError> {
    check_size(module, name)?;
    let mut buffer = vec![0; 64 << 10];
    let mut at = 0;
    loop {
        let read = module.read_at(&mut buffer, at)?;
        if read == 0 {
            return Ok(());
        }
        at += read as u64;
        // It grows while it is read.
        if at > MAX_MODULE_SIZE {
            return Err(ModuleError::TooLarge { name: name.to_owned(), size: at });
        }
        each(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek as _, SeekFrom, Write as _};

    use super::*;

    #[test]
    fn a_module_is_read_whole_wherever_the_offset_is() {
        let mut file = tempfile::tempfile().unwrap();
        let module = vec![7; 200_000];
        file.write_all(&module).unwrap();
        for offset in [0, 5, 200_000] {
            file.seek(SeekFrom::Start(offset)).unwrap();
            assert_eq!(read_file(&file, "ssr.wasm").unwrap(), module);
            assert_eq!(digest_file(&file, "ssr.wasm").unwrap(), digest(&module));
            assert_eq!(file.stream_position().unwrap(), offset);
        }
    }

    #[test]
    fn a_file_that_was_written_to_or_replaced_is_in_another_state() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ssr.wasm");
        std::fs::write(&path, "\0asm").unwrap();
        let file = File::open(&path).unwrap();
        let state = FileState::of(&file).unwrap();
        assert_eq!(FileState::of(&File::open(&path).unwrap()).unwrap(), state);
        // The kernel's clock for files may stand still for some milliseconds.
        std::thread::sleep(std::time::Duration::from_millis(20));
        std::fs::write(&path, "\0ASM").unwrap();
        assert_ne!(FileState::of(&file).unwrap(), state);
        let other = directory.path().join("other");
        std::fs::copy(&path, &other).unwrap();
        std::fs::rename(&other, &path).unwrap();
        assert_ne!(FileState::of(&File::open(&path).unwrap()).unwrap(), FileState::of(&file).unwrap());
    }

    #[test]
    fn a_module_is_refused_by_its_size_before_it_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        let file = File::create(&path).unwrap();
        // It consists of a hole.
        file.set_len(MAX_MODULE_SIZE + 1).unwrap();
        // It cannot be read: whoever tried would get another error.
        for error in [digest_file(&file, "ssr.wasm").unwrap_err(), read_file(&file, "ssr.wasm").unwrap_err()]
        {
            assert_eq!(
                error.to_string(),
                "the file of 'ssr.wasm' has 268435457 bytes, and a node compiles modules of at most 268435456 bytes \
                 (256.0 MiB); leave data out of the site's server bundle"
            );
            assert!(matches!(error.into(), CompileError::Module(_)));
        }
        file.set_len(MAX_MODULE_SIZE).unwrap();
        assert_eq!(check_size(&file, "ssr.wasm").unwrap(), MAX_MODULE_SIZE);
    }
}
