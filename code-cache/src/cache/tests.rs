//! The cache's directory.

use std::fs::OpenOptions;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

use ssr_wasm::detect::{Kind, SiteSection};
use ssr_wasm::interrupt::Interruption;

use super::*;

/// Bytes of code in the tests' entries, and the disk space of such an entry.
const CODE: usize = 20_000;
const ON_DISK: u64 = (20 << 10) + 4096;

fn metadata(module: &str) -> EntryMetadata {
    EntryMetadata {
        key: Key { module: module.to_owned(), engine: "34".to_owned() },
        name: "ssr.wasm".to_owned(),
        target: "amd64".to_owned(),
        render_memory_limit: None,
        interruption: Interruption::Signal,
        kind: Kind::Site(SiteSection { abi: 1, built_by: "0.1.0".to_owned() }),
    }
}

/// A cache for so many entries, as a namespace uses it.
fn cache(dir: &Path, entries: u64, namespace: &str) -> CodeCache {
    CodeCache::open(dir, entries * ON_DISK).unwrap().for_namespace(Some(namespace))
}

/// Adds an entry that is newer than all others.
fn add(cache: &CodeCache, module: &str) -> Result<(), CacheError> {
    std::thread::sleep(Duration::from_millis(15));
    cache.insert(&metadata(module), &vec![7; CODE].into()).map(drop)
}

fn modules(cache: &CodeCache) -> String {
    let mut modules: Vec<_> =
        cache.list().unwrap().into_iter().map(|entry| entry.metadata.unwrap().key.module).collect();
    modules.sort();
    modules.join(" ")
}

fn finds(cache: &CodeCache, module: &str) -> bool {
    std::thread::sleep(Duration::from_millis(15));
    cache.find(&metadata(module).key, &mut Vec::new()).is_some()
}

#[test]
fn code_that_is_found_cannot_be_written_to() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path(), 9, "a");
    add(&cache, "m1").unwrap();
    let code = cache.find(&metadata("m1").key, &mut Vec::new()).unwrap();
    let descriptor = format!("/proc/self/fd/{}", code.file.as_file().as_raw_fd());
    for options in [OpenOptions::new().write(true), OpenOptions::new().write(true).truncate(true)] {
        // A sealed copy, where mounting is refused, can be opened but not changed.
        let Ok(writable) = options.open(&descriptor) else { continue };
        assert!(writable.set_len(0).is_err());
    }
    assert!(finds(&cache, "m1"));
}

#[test]
fn code_larger_than_the_cache_is_refused_and_evicts_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path(), 2, "a");
    add(&cache, "m1").unwrap();
    let error = cache.insert(&metadata("big"), &vec![7; 3 * CODE].into()).unwrap_err();
    assert!(matches!(error, CacheError::TooLarge { limit: 49_152, .. }), "{error}");
    let error = error.to_string();
    for part in ["'ssr.wasm'", "64.0 KiB", "48.0 KiB", "`size`", "/etc/containerd-shim-ssr/config.toml"] {
        assert!(error.contains(part), "{error}");
    }
    assert_eq!(modules(&cache), "m1");
}

#[test]
fn the_size_limit_holds_whoever_writes_at_the_same_time() {
    let directory = tempfile::tempdir().unwrap();
    let limit = 3 * ON_DISK;
    std::thread::scope(|scope| {
        let writers: Vec<_> = (0..4)
            .map(|writer| {
                let cache = cache(directory.path(), 3, "a");
                scope.spawn(move || {
                    for number in 0..8 {
                        add(&cache, &format!("m{writer}{number}")).unwrap();
                    }
                })
            })
            .collect();
        while writers.iter().any(|writer| !writer.is_finished()) {
            std::thread::sleep(Duration::from_millis(5));
            let _lock = locks::change(directory.path()).unwrap();
            let files = fs::read_dir(directory.path()).unwrap().flatten();
            let sizes = files.filter_map(|file| file.metadata().ok()).filter(|status| status.is_file());
            let total: u64 = sizes.map(|status| status.len()).sum();
            assert!(total <= limit, "{total} of {limit}");
        }
    });
}

#[test]
fn remnants_of_killed_writers_are_removed_and_other_files_count() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path(), 2, "a");
    fs::write(directory.path().join("m1.34.new"), vec![0; 1 << 20]).unwrap();
    holds::note(directory.path(), "b", "gone.34.code".as_ref()).unwrap();
    add(&cache, "m1").unwrap();
    add(&cache, "m2").unwrap();
    assert_eq!(modules(&cache), "m1 m2");
    assert!(!directory.path().join("m1.34.new").exists() && !directory.path().join("used/b").exists());
    fs::write(directory.path().join("notes"), vec![0; CODE]).unwrap();
    add(&cache, "m3").unwrap();
    assert_eq!(modules(&cache), "m3");
}

#[test]
fn a_namespace_cannot_flush_the_code_of_another() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|namespace| cache(directory.path(), 4, namespace));
    add(&b, "b1").unwrap();
    add(&b, "b2").unwrap();
    for number in 0..6 {
        add(&a, &format!("a{number}")).unwrap();
    }
    assert_eq!(modules(&a), "a4 a5 b1 b2");
    // Room that nobody else needs may be used, and is given back when somebody does.
    let [c, d] = ["c", "d"].map(|namespace| cache(&directory.path().join("other"), 4, namespace));
    for number in 0..4 {
        add(&c, &format!("c{number}")).unwrap();
    }
    add(&d, "d0").unwrap();
    add(&d, "d1").unwrap();
    add(&d, "d2").unwrap();
    assert_eq!(modules(&c), "c2 c3 d1 d2");
}

#[test]
fn what_a_namespace_uses_stays_even_if_another_has_brought_it() {
    let directory = tempfile::tempdir().unwrap();
    let [a, b] = ["a", "b"].map(|namespace| cache(directory.path(), 4, namespace));
    add(&a, "common").unwrap();
    assert!(finds(&b, "common"));
    for number in 0..6 {
        add(&a, &format!("a{number}")).unwrap();
    }
    assert_eq!(modules(&a), "a3 a4 a5 common");
    let common =
        a.list().unwrap().into_iter().find(|entry| entry.size > 0 && entry.namespaces.contains_key("b"));
    assert_eq!(common.unwrap().namespaces.into_keys().collect::<Vec<_>>(), ["b"]);
}

#[test]
fn code_that_was_added_for_later_is_protected_until_it_is_used() {
    let directory = tempfile::tempdir().unwrap();
    let administrator = CodeCache::open(directory.path(), 4 * ON_DISK).unwrap();
    let a = cache(directory.path(), 4, "a");
    add(&administrator, "later").unwrap();
    for number in 0..6 {
        add(&a, &format!("a{number}")).unwrap();
    }
    assert_eq!(modules(&a), "a3 a4 a5 later");
    assert!(finds(&a, "later"));
    add(&a, "a6").unwrap();
    assert_eq!(modules(&a), "a4 a5 a6 later");
}

#[test]
fn names_that_are_no_namespaces_never_become_paths() {
    let directory = tempfile::tempdir().unwrap();
    for name in ["..", ".", "", "a/b", "/etc", "a\0b", &"x".repeat(77)] {
        let cache = cache(directory.path(), 4, name);
        add(&cache, "m").unwrap();
        assert!(finds(&cache, "m"));
        assert!(cache.list().unwrap()[0].namespaces.is_empty(), "{name}");
    }
}

#[test]
fn nothing_remains_after_clearing() {
    let directory = tempfile::tempdir().unwrap();
    let cache = cache(directory.path(), 4, "a");
    add(&cache, "m1").unwrap();
    add(&cache, "m2").unwrap();
    fs::write(directory.path().join("m3.34.new"), "unfinished").unwrap();
    assert_eq!(cache.clear().unwrap().0, 2);
    assert!(!directory.path().join("m3.34.new").exists());
    assert!(cache.list().unwrap().is_empty() && holds::all(directory.path()).is_empty());
}
