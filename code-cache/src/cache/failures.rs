//! Modules that do not compile, so that a container that starts over and over does not cost
//! a compilation each time.
//!
//! `failed/MODULE.ENGINE` says what is wrong with a module, for every version of the
//! engine. `failed/MODULE.ENGINE.NAMESPACE` says that memory or time did not suffice: this
//! depends on the machine's state, so it holds for an hour, until the next boot, and for one
//! containerd namespace, as a tenant could take the memory away from another's compilation.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{CacheError, CodeCache, disk_size, insert, locks};
use crate::metadata::Key;

const DIR: &str = "failed";

/// How long a failure counts that another attempt could end otherwise.
const PASSING: Duration = Duration::from_secs(3600);

/// The most failures that are remembered.
const MAX_FAILURES: usize = 64;

/// The most characters that are kept of a reason, and of a name.
const MAX_TEXT: usize = 1 << 10;

/// Longest file of a failure, in bytes.
const MAX_FILE: u64 = 64 << 10;

/// What stands for the namespace of whoever has none. No namespace is called so.
const NOBODY: &str = "-";

/// Why a module did not compile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The module's name, for people.
    pub name: String,
    /// The compiler's reason.
    pub reason: String,
    /// Whether another attempt could succeed: memory or time did not suffice.
    pub passing: bool,
}

/// A failure as it is kept.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    failure: Failure,
    namespace: Option<String>,
    boot: Option<String>,
}

/// A failure from an earlier start.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// Its file.
    pub path: PathBuf,
    /// The module's SHA-256, in hexadecimal digits.
    pub module: String,
    /// The failure.
    pub failure: Failure,
    /// The containerd namespace whose container was started.
    pub namespace: Option<String>,
    /// When it failed.
    pub since: SystemTime,
    /// How long it still counts; for ever if absent.
    pub remaining: Option<Duration>,
    on_disk: u64,
}

impl Remembered {
    /// The reason, that it is an old one, and how to try again.
    pub fn explain(&self) -> String {
        let digits = self.module.get(..12).unwrap_or(&self.module);
        let until = match self.remaining {
            Some(remaining) => format!("for {} more minutes", remaining.as_secs().div_ceil(60)),
            None => "from an earlier start".to_owned(),
        };
        let reason = &self.failure.reason;
        format!("{reason} (remembered {until}; `ssr cache remove {digits}` on the node forgets it)")
    }
}

impl CodeCache {
    fn failure_path(&self, key: &Key, passing: bool) -> PathBuf {
        let namespace = self.namespace.as_deref().unwrap_or(NOBODY);
        let name = match passing {
            true => format!("{}.{}.{namespace}", key.module, key.engine),
            false => format!("{}.{}", key.module, key.engine),
        };
        self.dir.join(DIR).join(name)
    }

    /// Remembers that a module does not compile with an engine. Nothing else is evicted for
    /// that; if there are many failures, an old one of the namespace that has the most goes.
    pub fn remember_failure(&self, key: &Key, failure: &Failure) -> Result<(), CacheError> {
        let truncate = |text: &str| text.chars().take(MAX_TEXT).collect();
        let Failure { name, reason, passing } = failure;
        let kept = Kept {
            failure: Failure { name: truncate(name), reason: truncate(reason), passing: *passing },
            namespace: self.namespace.clone(),
            boot: boot(),
        };
        let path = self.failure_path(key, *passing);
        let system = |source: io::Error| CacheError::System { what: "write", path: path.clone(), source };
        let text = serde_json::to_vec(&kept).map_err(io::Error::from).map_err(system)?;
        let needs = disk_size(text.len() as u64, 0);
        let _lock = locks::change(&self.dir)?;
        self.forget_oldest()?;
        let used: u64 = self.list()?.iter().map(|entry| entry.on_disk).sum();
        if used.saturating_add(self.failures_size()).saturating_add(needs) > self.size {
            return Ok(());
        }
        let written = (|| {
            DirBuilder::new().recursive(true).mode(0o700).create(self.dir.join(DIR))?;
            let mut file =
                OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&path)?;
            // Whoever reads half of it takes it for nothing.
            file.write_all(&text)
        })();
        written.map_err(|source| {
            let _ = fs::remove_file(&path);
            system(source)
        })
    }

    /// The failure of a module with an engine, if one is remembered and still counts.
    pub fn failure(&self, key: &Key) -> Option<Remembered> {
        let paths = [false, true].map(|passing| self.failure_path(key, passing));
        paths.iter().find_map(|path| read(path)).filter(Remembered::counts)
    }

    /// All failures that still count.
    pub fn failures(&self) -> Vec<Remembered> {
        self.all_failures().filter_map(|path| read(&path)).filter(Remembered::counts).collect()
    }

    /// Forgets a failure.
    pub fn forget(&self, failure: &Remembered) -> Result<(), CacheError> {
        insert::remove(&failure.path)
    }

    fn all_failures(&self) -> impl Iterator<Item = PathBuf> {
        fs::read_dir(self.dir.join(DIR)).into_iter().flatten().flatten().map(|file| file.path())
    }

    /// Forgets what does not count any more and, if there are too many, one more. The caller
    /// holds the lock.
    fn forget_oldest(&self) -> Result<(), CacheError> {
        let mut counting = Vec::new();
        for path in self.all_failures() {
            match read(&path).filter(Remembered::counts) {
                Some(failure) => counting.push(failure),
                None => insert::remove(&path)?,
            }
        }
        if counting.len() < MAX_FAILURES {
            return Ok(());
        }
        let of_namespace = |namespace: &Option<String>| {
            counting.iter().filter(|other| other.namespace == *namespace).count()
        };
        let oldest = counting.iter().max_by_key(|failure| {
            (of_namespace(&failure.namespace), failure.namespace.clone(), std::cmp::Reverse(failure.since))
        });
        oldest.map_or(Ok(()), |oldest| self.forget(oldest))
    }

    /// Forgets all failures. Returns how many there were.
    pub(super) fn forget_all(&self) -> Result<usize, CacheError> {
        let mut count = 0;
        for path in self.all_failures() {
            insert::remove(&path)?;
            count += 1;
        }
        let _ = fs::remove_dir(self.dir.join(DIR));
        Ok(count)
    }

    /// Bytes of disk space of all failures.
    pub(super) fn failures_size(&self) -> u64 {
        let sizes = self.all_failures().filter_map(|path| path.metadata().ok());
        sizes.map(|status| disk_size(status.len(), status.blocks())).sum()
    }
}

impl Remembered {
    fn counts(&self) -> bool {
        self.remaining.is_none_or(|remaining| !remaining.is_zero())
    }

    /// Bytes of disk space.
    pub fn on_disk(&self) -> u64 {
        self.on_disk
    }
}

fn read(path: &Path) -> Option<Remembered> {
    let file = File::open(path).ok()?;
    let status = file.metadata().ok()?;
    let mut text = Vec::new();
    file.take(MAX_FILE).read_to_end(&mut text).ok()?;
    let Kept { failure, namespace, boot: since_boot } = serde_json::from_slice(&text).ok()?;
    let since = status.modified().ok()?;
    let remaining = failure.passing.then(|| match since_boot == boot() {
        // A clock that was set back must not make it count for longer.
        true => since.elapsed().map_or(Duration::ZERO, |age| PASSING.saturating_sub(age)),
        false => Duration::ZERO,
    });
    let module = path.file_name()?.to_str()?.split('.').next()?.to_owned();
    let on_disk = disk_size(status.len(), status.blocks());
    Some(Remembered { path: path.to_owned(), module, failure, namespace, since, remaining, on_disk })
}

/// Names the time since the machine was started.
fn boot() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(module: &str) -> Key {
        Key { module: module.to_owned(), engine: "34".to_owned() }
    }

    fn invalid() -> Failure {
        Failure { name: "ssr.wasm".to_owned(), reason: "it is damaged".to_owned(), passing: false }
    }

    fn out_of_memory() -> Failure {
        Failure { reason: "out of memory".to_owned(), passing: true, ..invalid() }
    }

    fn age(cache: &CodeCache, key: &Key, age: Duration) {
        let file = File::open(cache.failure_path(key, true)).unwrap();
        file.set_modified(SystemTime::now() - age).unwrap();
    }

    #[test]
    fn a_module_that_does_not_compile_is_remembered_for_its_engine() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(directory.path(), 1 << 20).unwrap();
        assert!(cache.failure(&key("0123456789abcdef")).is_none());
        cache.remember_failure(&key("0123456789abcdef"), &invalid()).unwrap();
        // For all namespaces: it depends on the module alone.
        let other = cache.clone().for_namespace(Some("k8s.io"));
        let remembered = other.failure(&key("0123456789abcdef")).unwrap();
        assert_eq!(remembered.failure, invalid());
        assert_eq!(
            remembered.explain(),
            "it is damaged (remembered from an earlier start; `ssr cache remove 0123456789ab` on the node forgets it)"
        );
        assert!(cache.failure(&Key { engine: "35".to_owned(), ..key("0123456789abcdef") }).is_none());
        assert!(cache.failure(&key("0123456789abcdee")).is_none());
        cache.forget(&remembered).unwrap();
        assert!(cache.failure(&key("0123456789abcdef")).is_none());
    }

    #[test]
    fn a_lack_of_memory_or_time_counts_for_an_hour_until_the_next_boot_and_in_one_namespace() {
        let directory = tempfile::tempdir().unwrap();
        let cache = CodeCache::open(directory.path(), 1 << 20).unwrap().for_namespace(Some("a"));
        cache.remember_failure(&key("01"), &out_of_memory()).unwrap();
        assert!(cache.failure(&key("01")).unwrap().explain().contains("remembered for 60 more minutes"));
        assert!(cache.clone().for_namespace(Some("b")).failure(&key("01")).is_none());
        age(&cache, &key("01"), Duration::from_secs(3000));
        assert!(cache.failure(&key("01")).unwrap().explain().contains("for 10 more minutes"));
        age(&cache, &key("01"), Duration::from_secs(3601));
        assert!(cache.failure(&key("01")).is_none() && cache.failures().is_empty());
        cache.remember_failure(&key("01"), &out_of_memory()).unwrap();
        assert!(cache.failure(&key("01")).is_some());
        let path = cache.failure_path(&key("01"), true);
        let text = fs::read_to_string(&path).unwrap().replace(&boot().unwrap(), "another boot");
        fs::write(&path, text).unwrap();
        assert!(cache.failure(&key("01")).is_none());
        fs::write(&path, "{").unwrap();
        assert!(cache.failure(&key("01")).is_none());
    }

    #[test]
    fn their_number_is_bounded_and_nobody_pushes_out_those_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let [a, b] = ["a", "b"].map(|namespace| {
            CodeCache::open(directory.path(), 1 << 20).unwrap().for_namespace(Some(namespace))
        });
        b.remember_failure(&key("b"), &invalid()).unwrap();
        for number in 0..MAX_FAILURES + 10 {
            let long = Failure { reason: "ä".repeat(1 << 20), ..invalid() };
            a.remember_failure(&key(&format!("a{number}")), &long).unwrap();
        }
        assert_eq!(a.failures().len(), MAX_FAILURES);
        assert!(a.failure(&key("b")).is_some() && a.failure(&key("a73")).is_some());
        assert!(a.failures_size() <= MAX_FAILURES as u64 * (8 << 10));
        assert_eq!(a.clear().unwrap().0, MAX_FAILURES);
        assert!(a.failures().is_empty());
    }
}
