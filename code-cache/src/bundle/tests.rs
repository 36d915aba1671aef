use std::fs;
use std::io::Cursor;

use ssr_wasm::compile;
use ssr_wasm::engine;
use ssr_wasm::limits::{DEFAULT_RENDER_MEMORY_LIMIT, Limits};

use super::*;
use crate::metadata::Key;
use crate::metadata::tests::site;
use crate::module::digest;
use crate::provide;

fn compiled(target: Target) -> (EntryMetadata, Vec<u8>) {
    crate::metadata::tests::compiled(target, DEFAULT_RENDER_MEMORY_LIMIT)
}

fn entry_of(metadata: &EntryMetadata, code: &[u8]) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    entry::write(&mut bytes, metadata, &code.into()).unwrap();
    bytes.into_inner()
}

fn entry_for(target: Target) -> Vec<u8> {
    let (metadata, code) = compiled(target);
    entry_of(&metadata, &code)
}

/// A cache in a directory that is removed with the value.
fn cache() -> (tempfile::TempDir, CodeCache) {
    let directory = tempfile::tempdir().unwrap();
    let cache = CodeCache::open(directory.path(), 1 << 20).unwrap();
    (directory, cache)
}

/// The error of an import, which must have written nothing.
fn rejected(file: &[u8], trusted: &[PublicKey]) -> BundleError {
    let (directory, cache) = cache();
    let error = import(&cache, file, trusted).unwrap_err();
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "something was written: {error}");
    error
}

#[test]
fn imported_code_is_found_like_code_compiled_here() {
    let Some(here) = Target::of_host() else { return };
    let key = PrivateKey::generate().unwrap();
    let (_directory, cache) = cache();
    let file = pack(&[entry_for(Target::Arm), entry_for(here)], &key);
    let imported = import(&cache, &file, &[PrivateKey::generate().unwrap().public(), key.public()]).unwrap();
    assert_eq!(imported.added.len(), 1 + usize::from(here == Target::Arm));
    let engines = compile::loadable_engines(DEFAULT_RENDER_MEMORY_LIMIT).unwrap();
    let mut warnings = Vec::new();
    let code = provide::find(&cache, &digest(&site()), &engines, &mut warnings).unwrap();
    assert_eq!((entry::check(code.file.as_file()).unwrap(), warnings.len()), (compiled(here).0, 0));
    let engine = engine::for_compiled(
        code.metadata.interruption,
        &Limits { render_threads: 1, ..Limits::default() },
        None,
    )
    .unwrap();
    // SAFETY: the code was compiled a moment ago.
    unsafe { wasmtime::Module::deserialize_open_file(&engine, code.file.into_file()) }.unwrap();
}

#[test]
fn every_changed_or_missing_byte_is_noticed_before_anything_is_parsed() {
    let key = PrivateKey::generate().unwrap();
    let (metadata, _) = compiled(Target::X86_64);
    // Short, so that every byte can be tried.
    let file = pack(&[entry_of(&metadata, b"code"), entry_of(&metadata, b"more")], &key);
    assert!(verify(&file, &[key.public()]).is_ok());
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 1;
        assert!(verify(&changed, &[key.public()]).is_err(), "byte {place}");
        assert!(verify(&file[..place], &[key.public()]).is_err(), "cut at {place}");
    }
    let mut long = file.clone();
    long.push(0);
    assert!(matches!(rejected(&long, &[key.public()]), BundleError::Signature));
}

#[test]
fn only_trusted_signatures_are_accepted() {
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let file = pack(&[entry_for(Target::X86_64)], &key);
    assert!(matches!(rejected(&file, &[]), BundleError::Untrusted { .. }));
    let error = rejected(&file, &[other.public()]);
    assert!(error.to_string().contains(&key.public().to_string()), "{error}");
    // A signer that claims to be somebody else.
    let mut claims = file.clone();
    claims[PREFIX.len()..PREFIX.len() + PUBLIC_KEY].copy_from_slice(other.public().as_bytes());
    assert!(matches!(rejected(&claims, &[other.public()]), BundleError::Signature));
    // Something that the same key has signed for another purpose.
    let message = [b"another purpose\n", &file[..]].concat();
    let signed = [&message[..], &key.sign(&message)].concat();
    assert!(matches!(rejected(&signed, &[key.public()]), BundleError::Foreign));
}

#[test]
fn signed_nonsense_is_rejected() {
    let key = PrivateKey::generate().unwrap();
    let sign = |content: &[u8]| {
        let mut file = [PREFIX, key.public().as_bytes(), content].concat();
        let signature = key.sign(&file);
        file.extend_from_slice(&signature);
        file
    };
    let entry = entry_for(Target::X86_64);
    let length = (entry.len() as u64).to_le_bytes();
    let end = 0_u64.to_le_bytes();
    for content in [
        &b""[..],
        b"\x01",
        &u64::MAX.to_le_bytes(),
        &[&length[..], &entry].concat(),
        &[&length[..], &entry[1..], &end, b"\0"].concat(),
        &[&end[..], b"more"].concat(),
        &[&5_u64.to_le_bytes()[..], b"entry", &end].concat(),
    ] {
        let error = rejected(&sign(content), &[key.public()]);
        assert!(matches!(error, BundleError::Entry { .. }), "{error}");
    }
    assert!(matches!(rejected(&sign(&end), &[key.public()]), BundleError::Target { .. }));
}

#[test]
fn an_invalid_digest_never_becomes_a_file_name() {
    let key = PrivateKey::generate().unwrap();
    let (metadata, code) = compiled(Target::X86_64);
    for module in ["../../../etc/passwd", "", &"A".repeat(64), &"/".repeat(64)] {
        let metadata = EntryMetadata {
            key: Key { module: module.to_owned(), ..metadata.key.clone() },
            ..metadata.clone()
        };
        let error = rejected(&pack(&[entry_of(&metadata, &code)], &key), &[key.public()]);
        assert!(matches!(error, BundleError::Entry { number: 1, .. }), "{error}");
    }
}

#[test]
fn code_for_another_machine_or_of_another_version_is_rejected() {
    let Some(here) = Target::of_host() else { return };
    let key = PrivateKey::generate().unwrap();
    let others: Vec<_> = Target::PORTABLE.into_iter().filter(|target| *target != here).collect();
    let file = pack(&others.iter().map(|target| entry_for(*target)).collect::<Vec<_>>(), &key);
    let error = rejected(&file, &[key.public()]).to_string();
    assert!(others.iter().all(|target| error.contains(target.name())), "{error}");
    assert!(error.contains(&format!("--target {}", here.name())), "{error}");

    let (mut metadata, code) = compiled(here);
    metadata.key.engine = "../0123456789abc".to_owned();
    let error = rejected(&pack(&[entry_of(&metadata, &code)], &key), &[key.public()]);
    assert!(matches!(error, BundleError::Version { .. }), "{error}");
}

#[test]
fn what_the_cache_cannot_keep_is_rejected() {
    let Some(here) = Target::of_host() else { return };
    let key = PrivateKey::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cache = CodeCache::open(directory.path(), 100).unwrap();
    let error = import(&cache, &pack(&[entry_for(here)], &key), &[key.public()]).unwrap_err();
    assert!(matches!(error, BundleError::Size { size: 100, .. }), "{error}");
    assert!(cache.list().unwrap().is_empty());
}
