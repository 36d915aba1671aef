use std::fs;

use super::*;
use crate::code_cache;
use crate::compile::{self, Key};
use crate::engine;
use crate::settings::Settings;

fn module() -> Vec<u8> {
    crate::module::tests::site(r#"{"abi":1,"built_by":"0.1.0"}"#)
}

fn settings() -> Settings {
    Settings { render_threads: 1, ..Settings::default() }
}

fn compiled(target: Target) -> (About, Vec<u8>) {
    compile::compile(&module(), "ssr.wasm", &settings(), target).unwrap()
}

fn entry_of(about: &About, code: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    entry::write(&mut bytes, about, code).unwrap();
    bytes
}

fn entry_for(target: Target) -> Vec<u8> {
    let (about, code) = compiled(target);
    entry_of(&about, &code)
}

/// A cache in a directory that goes with the value.
fn cache() -> (tempfile::TempDir, CodeCache) {
    let directory = tempfile::tempdir().unwrap();
    let cache = CodeCache::open(directory.path(), 1 << 20).unwrap();
    (directory, cache)
}

/// The error, after a look whether the cache is as empty as before.
fn refused(file: &[u8], trusted: &[PublicKey]) -> TransferError {
    let (directory, cache) = cache();
    let error = import(&cache, file, trusted).unwrap_err();
    assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "something was written: {error}");
    error
}

#[test]
fn what_is_carried_over_is_found_as_if_it_was_compiled_here() {
    let Some(here) = Target::of_host() else { return };
    let key = PrivateKey::generate().unwrap();
    let (_directory, cache) = cache();
    let file = pack(&[entry_for(Target::Arm), entry_for(here)], &key);
    let imported = import(&cache, &file, &[PrivateKey::generate().unwrap().public(), key.public()]).unwrap();
    assert_eq!(imported.added.len(), 1 + usize::from(here == Target::Arm));
    let engines = compile::engines(&settings()).unwrap();
    let mut warnings = Vec::new();
    let mut code = code_cache::find(&cache, &compile::digest(&module()), &engines, &mut warnings).unwrap();
    assert_eq!((entry::check(&mut code.file).unwrap(), warnings.len()), (compiled(here).0, 0));
    let engine = engine::engine(&settings(), code.about.interruption).unwrap();
    // SAFETY: the code was compiled a moment ago.
    unsafe { wasmtime::Module::deserialize_open_file(&engine, code.file) }.unwrap();
}

#[test]
fn every_changed_or_missing_byte_is_noticed_before_anything_is_looked_at() {
    let key = PrivateKey::generate().unwrap();
    let (about, _) = compiled(Target::X86_64);
    // Short, so that every byte can be tried.
    let file = pack(&[entry_of(&about, b"code"), entry_of(&about, b"more")], &key);
    assert!(verify(&file, &[key.public()]).is_ok());
    for place in 0..file.len() {
        let mut changed = file.clone();
        changed[place] ^= 1;
        assert!(verify(&changed, &[key.public()]).is_err(), "byte {place}");
        assert!(verify(&file[..place], &[key.public()]).is_err(), "cut at {place}");
    }
    let mut long = file.clone();
    long.push(0);
    assert!(matches!(refused(&long, &[key.public()]), TransferError::Signature));
}

#[test]
fn nobody_else_s_signature_is_accepted() {
    let (key, other) = (PrivateKey::generate().unwrap(), PrivateKey::generate().unwrap());
    let file = pack(&[entry_for(Target::X86_64)], &key);
    assert!(matches!(refused(&file, &[]), TransferError::Untrusted { .. }));
    let error = refused(&file, &[other.public()]);
    assert!(error.to_string().contains(&key.public().to_string()), "{error}");
    // Who only says to be somebody else.
    let mut claims = file.clone();
    claims[PREFIX.len()..PREFIX.len() + PUBLIC_KEY].copy_from_slice(other.public().as_bytes());
    assert!(matches!(refused(&claims, &[other.public()]), TransferError::Signature));
    // What the same key has signed for something else.
    let message = [b"another purpose\n", &file[..]].concat();
    let signed = [&message[..], &key.sign(&message)].concat();
    assert!(matches!(refused(&signed, &[key.public()]), TransferError::Foreign));
}

#[test]
fn signed_nonsense_is_refused_too() {
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
        let error = refused(&sign(content), &[key.public()]);
        assert!(matches!(error, TransferError::Entry { .. }), "{error}");
    }
    assert!(matches!(refused(&sign(&end), &[key.public()]), TransferError::Target { .. }));
}

#[test]
fn a_digest_that_is_none_never_becomes_a_file_s_name() {
    let key = PrivateKey::generate().unwrap();
    let (about, code) = compiled(Target::X86_64);
    for module in ["../../../etc/passwd", "", &"A".repeat(64), &"/".repeat(64)] {
        let about = About { key: Key { module: module.to_owned(), ..about.key.clone() }, ..about.clone() };
        let error = refused(&pack(&[entry_of(&about, &code)], &key), &[key.public()]);
        assert!(matches!(error, TransferError::Entry { number: 1, .. }), "{error}");
    }
}

#[test]
fn code_for_another_machine_or_of_another_version_is_refused() {
    let Some(here) = Target::of_host() else { return };
    let key = PrivateKey::generate().unwrap();
    let others: Vec<_> = Target::PORTABLE.into_iter().filter(|target| *target != here).collect();
    let file = pack(&others.iter().map(|target| entry_for(*target)).collect::<Vec<_>>(), &key);
    let error = refused(&file, &[key.public()]).to_string();
    assert!(others.iter().all(|target| error.contains(target.name())), "{error}");
    assert!(error.contains(&format!("--target {}", here.name())), "{error}");

    let (mut about, code) = compiled(here);
    about.key.engine = "../0123456789abc".to_owned();
    let error = refused(&pack(&[entry_of(&about, &code)], &key), &[key.public()]);
    assert!(matches!(error, TransferError::Version { .. }), "{error}");
}

#[test]
fn what_the_cache_cannot_keep_is_refused() {
    let Some(here) = Target::of_host() else { return };
    let key = PrivateKey::generate().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let cache = CodeCache::open(directory.path(), 100).unwrap();
    let error = import(&cache, &pack(&[entry_for(here)], &key), &[key.public()]).unwrap_err();
    assert!(matches!(error, TransferError::Size { size: 100, .. }), "{error}");
    assert!(cache.list().unwrap().is_empty());
}
