//! `ssr engine`: puts engines into a program, when a release is built.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};
use ssr_wasm::carried::attach::{CompiledEngine, attach};
use ssr_wasm::carried::parts::Parts;
use ssr_wasm::code_source;
use ssr_wasm::target::Target;
use ssr_wasm::text;
use wasm_encoder::{Module, RawSection, SectionId};
use wasmparser::Parser;

use crate::output::atomic_file::AtomicFile;

/// Manage the engines that programs carry.
#[derive(Args)]
pub struct EngineArgs {
    #[command(subcommand)]
    command: EngineCommand,
}

#[derive(Subcommand)]
enum EngineCommand {
    /// Compile engines, and put them into a copy of this program: sites made of them are never
    /// compiled
    Attach(AttachArgs),
    /// Write an engine's code without its memory, to be translated to C, and print the digest by which
    /// its sites are recognized
    Code(CodeArgs),
}

#[derive(Args)]
struct AttachArgs {
    /// The program, for this machine or another one
    program: PathBuf,
    /// An engine's module, with the release that it is of
    #[arg(long = "engine", value_name = "VERSION=FILE", required = true, value_parser = versioned)]
    engines: Vec<(String, PathBuf)>,
    /// The copy
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Args)]
struct CodeArgs {
    /// The engine's module
    engine: PathBuf,
    /// The module to write
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

fn versioned(argument: &str) -> Result<(String, PathBuf), String> {
    let (version, file) = argument.split_once('=').ok_or("expected VERSION=FILE")?;
    Ok((version.to_owned(), file.into()))
}

pub fn run(args: &EngineArgs) -> Result<()> {
    match &args.command {
        EngineCommand::Attach(args) => attach_to_program(args),
        EngineCommand::Code(args) => write_code(args),
    }
}

fn write_code(args: &CodeArgs) -> Result<()> {
    let CodeArgs { engine, output } = args;
    let path = engine.to_str().context("the engine's path is no UTF-8")?;
    let file = text::whole(&code_source::open(path)?);
    let module = file.with_context(|| format!("cannot read '{}'", engine.display()))?;
    let parts = Parts::of(&module).with_context(|| format!("'{}' is no engine", engine.display()))?;
    let mut code = Module::new();
    for payload in Parser::new(0).parse_all(&module) {
        let Some((id, range)) = payload?.as_section() else { continue };
        if ![SectionId::Custom, SectionId::Data, SectionId::DataCount].map(|id| id as u8).contains(&id) {
            code.section(&RawSection { id, data: &module[range] });
        }
    }
    fs::write(output, code.finish()).with_context(|| format!("cannot write '{}'", output.display()))?;
    println!("{}", parts.digest());
    Ok(())
}

fn attach_to_program(args: &AttachArgs) -> Result<()> {
    let AttachArgs { program, engines, output } = args;
    let engines = compile(engines, targets_of(program)?)?;
    write(program, output, &engines).with_context(|| {
        format!("cannot put engines into a copy of '{}', '{}'", program.display(), output.display())
    })
}

fn compile(engines: &[(String, PathBuf)], targets: &[Target]) -> Result<Vec<CompiledEngine>> {
    let mut compiled = Vec::new();
    for (version, file) in engines {
        let module = fs::read(file).with_context(|| format!("cannot read '{}'", file.display()))?;
        for target in targets {
            let engine = CompiledEngine::compile(&module, version, *target);
            compiled.push(engine.with_context(|| format!("the engine '{}'", file.display()))?);
        }
    }
    Ok(compiled)
}

fn write(program: &Path, output: &Path, engines: &[CompiledEngine]) -> io::Result<()> {
    let mut output = AtomicFile::create(output)?;
    io::copy(&mut File::open(program)?, output.file())?;
    attach(output.file(), engines)?;
    output.file().set_permissions(fs::Permissions::from_mode(0o755))?;
    output.replace()
}

/// The targets of a program's engines, by the machine that it is for (ELF's `e_machine`).
fn targets_of(program: &Path) -> Result<&'static [Target]> {
    let mut head = [0; 20];
    let read = File::open(program).and_then(|mut file| file.read_exact(&mut head));
    read.with_context(|| format!("cannot read '{}'", program.display()))?;
    let machine = u16::from_le_bytes([head[18], head[19]]);
    match (head.starts_with(b"\x7fELF"), machine) {
        (true, 62) => Ok(Target::CARRIED_X86_64),
        (true, 183) => Ok(Target::CARRIED_ARM64),
        _ => bail!(
            "'{}' is no Linux program for amd64 or arm64: others cannot carry engines",
            program.display()
        ),
    }
}
