//! Finds the engine guest that `ssr build` carries within itself.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    println!("cargo:rerun-if-env-changed=SSR_ENGINE_WASM");
    let path = env::var_os("SSR_ENGINE_WASM").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/engine/engine.wasm"),
        PathBuf::from,
    );
    println!("cargo:rerun-if-changed={}", path.display());
    match fs::canonicalize(&path) {
        Ok(path) => println!("cargo:rustc-env=SSR_ENGINE_WASM={}", path.display()),
        Err(error) => {
            // A build script's way to fail with a sentence.
            println!(
                "cargo::error=the engine guest is not there ({}: {error}): run scripts/build-engine.sh first, or \
                 set SSR_ENGINE_WASM to an engine.wasm",
                path.display()
            );
        }
    }
}
