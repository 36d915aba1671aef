//! Finds the engine guest that is embedded in `ssr` for `ssr build`, and has the linker put functions
//! together that are needed together.

use std::path::PathBuf;
use std::{env, fs};

fn main() {
    order_functions();
    find_engine();
}

/// The kernel maps the 64 KiB around each page of the program that a container touches.
fn order_functions() {
    let order = concat!(env!("CARGO_MANIFEST_DIR"), "/function-order.ld");
    println!("cargo::rerun-if-changed={order}");
    // Programs for debugging are linked often, and not measured.
    if env::var("OPT_LEVEL").is_ok_and(|level| level != "0") {
        println!("cargo::rustc-link-arg-bins=-Wl,--script={order}");
    }
}

fn find_engine() {
    println!("cargo::rustc-check-cfg=cfg(has_engine)");
    println!("cargo::rerun-if-env-changed=SSR_ENGINE_WASM");
    let path = env::var_os("SSR_ENGINE_WASM").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../target/engine/engine.wasm"),
        PathBuf::from,
    );
    println!("cargo::rerun-if-changed={}", path.display());
    match fs::canonicalize(&path) {
        Ok(path) => {
            println!("cargo::rustc-cfg=has_engine");
            println!("cargo::rustc-env=SSR_ENGINE_WASM={}", path.display());
        }
        Err(error) => {
            // A release without the engine must not be made by accident.
            let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
            let (level, consequence) = match release {
                true => ("error", ""),
                false => ("warning", "; without it, `ssr build` only prints an error"),
            };
            println!(
                "cargo::{level}=the engine guest is missing ({}: {error}): run scripts/build-engine.sh, or set \
                 SSR_ENGINE_WASM to an engine.wasm{consequence}",
                path.display()
            );
        }
    }
}
