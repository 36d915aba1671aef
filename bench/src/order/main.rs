//! `function-order`: prints the linker script that puts the functions together which a container's
//! processes call once they have started. The kernel maps the 64 KiB around each page that is
//! touched, so that functions spread over the program cost many times their size.
//!
//! Runs the site in target/image under the program in target/release, which must have its symbols.

mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use std::{fs, panic, thread};

use anyhow::{Context as _, Result, ensure};
use object::read::archive::ArchiveFile;
use object::{Object as _, ObjectSymbol as _, SymbolKind};
use ssr_e2e::{Container, Containerd, leaks, shell, under_test};

/// Sites rest when nobody has asked for ten seconds, and take some seconds more to do so here.
const REST: Duration = Duration::from_secs(15);

fn main() -> Result<()> {
    let program = under_test::binaries().join("containerd-shim-ssr-v1");
    let functions = functions(&program)?;
    let containerd = Containerd::start();
    let _cached = containerd.site().start();
    let site = containerd.site().spawn();
    site.wait_for_log("listening on");
    let shim = containerd.shim_pid(site.id());
    let server = leaks::children(shim);
    ensure!(server.len() == 1, "the shim {shim} has the processes {server:?}, not one server");
    let processes = [shim, server[0]];
    let (done, (ready, is_ready)) = (AtomicBool::new(false), mpsc::channel());
    let addresses: Vec<usize> = functions.iter().map(|(address, _)| *address).collect();
    let called = thread::scope(|scope| {
        let tracer = scope.spawn(|| trace::called(&processes, &addresses, ready, &done));
        // An error is the tracer's, which it tells at the end.
        if is_ready.recv().is_ok() {
            use_site(&site);
        }
        done.store(true, Ordering::Relaxed);
        tracer.join().unwrap_or_else(|cause| panic::resume_unwind(cause))
    })?;
    let called: Vec<_> = functions.iter().zip(called).filter(|(_, called)| *called).collect();
    eprintln!("function-order: {} of {} functions are called", called.len(), functions.len());
    let libc = library("libc.a")?;
    let names = called.iter().flat_map(|((_, names), _)| names);
    let sections: BTreeSet<String> = names
        .flat_map(|name| match libc.get(name) {
            Some(file) => vec![format!("*libc.a:{file}(.text .text.*)")],
            None => sections(name),
        })
        .collect();
    println!("/* Functions that a container's processes call once they have started, as");
    println!(
        "   scripts/order-functions.sh has found them. A name that the program does not have does no harm. */"
    );
    println!("SECTIONS {{\n  .text.called : {{");
    sections.iter().for_each(|section| println!("    {section}"));
    println!("  }}\n}} INSERT BEFORE .text;");
    Ok(())
}

/// Addresses and names of the program's functions, sorted.
fn functions(program: &Path) -> Result<Vec<(usize, Vec<String>)>> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let file = object::File::parse(&*bytes)?;
    let mut functions = BTreeMap::<usize, Vec<String>>::new();
    for symbol in file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0) {
        functions.entry(symbol.address() as usize).or_default().push(symbol.name()?.to_owned());
    }
    ensure!(
        !functions.is_empty(),
        "{} has no symbols: run this by scripts/order-functions.sh",
        program.display()
    );
    Ok(functions.into_iter().collect())
}

/// Which object file of a static library has a function, by its name: C libraries have all functions
/// of a file in one section.
fn library(name: &str) -> Result<BTreeMap<String, String>> {
    let path = shell::run(Command::new("cc").arg(format!("-print-file-name={name}"))).success().stdout;
    let bytes = fs::read(path.trim()).with_context(|| format!("cannot read {}", path.trim()))?;
    let mut files = BTreeMap::new();
    for member in ArchiveFile::parse(&*bytes)?.members() {
        let member = member?;
        // Some members are no object files.
        let Ok(file) = object::File::parse(member.data(&*bytes)?) else { continue };
        for symbol in
            file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.is_definition())
        {
            files.insert(symbol.name()?.to_owned(), String::from_utf8_lossy(member.name()).into_owned());
        }
    }
    Ok(files)
}

/// What a site is asked for in its life.
fn use_site(site: &Container) {
    let ask = |options: &[&str], path: &str| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "--max-time", "30", "--dump-header", "-", "--output", "/dev/null"]);
        shell::run(curl.args(options).arg(site.url(path))).success().stdout
    };
    // Once more when it rests.
    for _ in 0..2 {
        for path in ["/", "/guide", "/boards/zero-w", "/nothing", "/favicon.svg"] {
            for _ in 0..20 {
                ask(&[], path);
            }
        }
        let page = site.get("/").body;
        for asset in page.split('"').filter(|part| part.starts_with("/assets/")) {
            let answer = ask(&["--header", "accept-encoding: br"], asset);
            let tag = answer.lines().find_map(|line| line.strip_prefix("etag: ")).unwrap_or_default();
            ask(&["--header", &format!("if-none-match: {tag}")], asset);
            ask(&["--range", "10-20"], asset);
        }
        ask(&["--data", "name=value"], "/");
        // Faster than threads are ready again, and at the same time.
        ask(&[], "/?[1-200]");
        ask(&["--parallel"], "/?[1-200]");
        thread::sleep(REST);
    }
}

/// The sections in which compilers put a function, cold ones apart, as a linker script names them.
/// What differs from one build to the next, the numbers of crates and of LLVM's modules, may be
/// anything.
fn sections(function: &str) -> Vec<String> {
    let (name, is_local) = match function.split_once(".llvm.") {
        Some((name, _)) => (name, true),
        None => (function, false),
    };
    let mut pattern = String::new();
    let mut rest = name;
    while let Some(at) = rest.find("Cs") {
        let (before, crate_number) = rest.split_at(at + 2);
        pattern.push_str(before);
        let number = crate_number.find(|byte: char| !byte.is_ascii_alphanumeric()).unwrap_or(0);
        let is_number = crate_number[number..].starts_with('_');
        pattern.push_str(if is_number { "*" } else { &crate_number[..number] });
        rest = &crate_number[number..];
    }
    pattern.push_str(rest);
    let local = is_local.then(|| format!("{pattern}.llvm.*"));
    let patterns = [Some(pattern), local].into_iter().flatten();
    patterns.map(|pattern| format!("*(.text.{pattern} .text.unlikely.{pattern})")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_is_named_for_every_build() {
        assert_eq!(sections("memcpy"), ["*(.text.memcpy .text.unlikely.memcpy)"]);
        let name = "_RNvMs_NtCs*_3std6threadNtB4_6Thread4name";
        assert_eq!(
            sections("_RNvMs_NtCsjrHSEGnQ3l9_3std6threadNtB4_6Thread4name"),
            [format!("*(.text.{name} .text.unlikely.{name})")]
        );
        assert_eq!(
            sections("_RNvCsa1_3ssr4main.llvm.123"),
            [
                "*(.text._RNvCs*_3ssr4main .text.unlikely._RNvCs*_3ssr4main)",
                "*(.text._RNvCs*_3ssr4main.llvm.* .text.unlikely._RNvCs*_3ssr4main.llvm.*)"
            ]
        );
    }
}
