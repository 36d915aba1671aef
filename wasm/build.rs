//! Links the engines in that `SSR_LINKED_ENGINES` names: a directory that
//! scripts/linked-engines.sh has made for this target. Without it there are none.

use std::path::{Path, PathBuf};
use std::{env, fs};

const VARIABLE: &str = "SSR_LINKED_ENGINES";

fn main() {
    println!("cargo::rerun-if-env-changed={VARIABLE}");
    let mut engines = "pub(super) static ENGINES: &[LinkedEngine] = &[];\n".to_owned();
    if let Some(directory) = env::var_os(VARIABLE).filter(|directory| !directory.is_empty()) {
        let list = Path::new(&directory).join("engines.rs");
        println!("cargo::rerun-if-changed={}", list.display());
        println!("cargo::rustc-link-search=native={}", Path::new(&directory).display());
        println!("cargo::rustc-link-lib=static=ssr_engines");
        engines = fs::read_to_string(&list)
            .unwrap_or_else(|error| panic!("cannot read {} ({VARIABLE}): {error}", list.display()));
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("linked_engines.rs");
    fs::write(&out, engines).unwrap_or_else(|error| panic!("cannot write {}: {error}", out.display()));
}
