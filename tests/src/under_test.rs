//! What is tested: this repository's program under its two names, and the runtime's name.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::Command;

/// The repository's root.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.parent().expect("a parent").to_owned()
}

/// The directory of the program under test, under both names.
pub fn binaries() -> PathBuf {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| repository().join("target"), PathBuf::from);
    let release = target.join("release");
    for name in ["ssr", "containerd-shim-ssr-v1"] {
        assert!(
            release.join(name).is_file(),
            "{} is missing: run `make build` first",
            release.join(name).display()
        );
    }
    release
}

/// The PATH on which containerd looks for its tools and for shims. The directory of the
/// shim under test comes first.
pub fn search_path() -> OsString {
    let path = std::env::var("PATH").unwrap_or_default();
    format!("{}:{path}:/usr/local/sbin:/usr/sbin:/sbin", binaries().display()).into()
}

/// The CLI with the given arguments.
pub fn ssr<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Command {
    let mut command = Command::new(binaries().join("ssr"));
    command.args(args).env_remove("SOURCE_DATE_EPOCH");
    command
}

/// The runtime under test. SSR_TEST_RUNTIME replaces it, to compare another runtime's
/// behaviour in the same tests.
pub fn runtime() -> String {
    std::env::var("SSR_TEST_RUNTIME").unwrap_or_else(|_| "io.containerd.ssr.v1".to_owned())
}

/// Whether that is this repository's.
pub fn is_ours() -> bool {
    runtime() == "io.containerd.ssr.v1"
}
