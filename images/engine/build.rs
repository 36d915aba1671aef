//! Bundles the web APIs (js/) into one ES module, with esbuild from the npm registry.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

/// What the bundle is made from.
const SOURCES: [&str; 4] = [".npmrc", "js", "package-lock.json", "package.json"];

fn main() {
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    if let Err(error) = bundle() {
        println!("cargo::error=cannot bundle the web APIs: {error}");
    }
}

/// Works on a copy in cargo's own directory: the source tree stays as it is.
fn bundle() -> Result<(), String> {
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let copy = out.join("web-apis");
    fs::create_dir_all(&copy).map_err(|error| format!("{}: {error}", copy.display()))?;
    for source in SOURCES {
        copy_tree(Path::new(source), &copy.join(source)).map_err(|error| format!("{source}: {error}"))?;
    }
    npm(&copy, &["ci", "--silent", "--no-audit", "--no-fund"])?;
    npm(&copy, &["run", "--silent", "build", "--", "--log-level=warning"])
}

fn npm(directory: &Path, args: &[&str]) -> Result<(), String> {
    let output = Command::new("npm")
        .current_dir(directory)
        .args(args)
        .output()
        .map_err(|error| format!("npm: {error}; install Node 20 or newer"))?;
    if output.status.success() {
        return Ok(());
    }
    // An instruction to cargo is one line.
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).replace('\n', "; ");
    Err(format!("npm {}: {said}", args.join(" ")))
}

fn copy_tree(from: &Path, to: &Path) -> io::Result<()> {
    if !from.is_dir() {
        return fs::copy(from, to).map(drop);
    }
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    Ok(())
}
