//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Measures the lifecycle of containers and prints Markdown tables.
#[derive(Parser)]
pub struct Args {
    /// The site's image
    #[arg(long)]
    pub image: PathBuf,
    /// The image's name
    #[arg(long, default_value = "docker.io/library/site:latest")]
    pub name: String,
    /// The site's module
    #[arg(long)]
    pub module: PathBuf,
    /// The server bundle that the module was built from
    #[arg(long)]
    pub entry: PathBuf,
    /// The site's directory of assets
    #[arg(long)]
    pub assets: PathBuf,
    /// Our server as a Linux program
    #[arg(long)]
    pub server: PathBuf,
    /// The component that the stock runner serves
    #[arg(long)]
    pub hello: PathBuf,
    /// The nginx binary
    #[arg(long)]
    pub nginx: PathBuf,
    /// Paths of pages that are the same for every visitor
    #[arg(required = true)]
    pub pages: Vec<String>,
    /// Measured rounds of starts
    #[arg(long, default_value_t = 9)]
    pub rounds: usize,
    /// Measured rounds of one container and its replicas
    #[arg(long, default_value_t = 3)]
    pub memory_rounds: usize,
    /// Containers that run at the same time
    #[arg(long, default_value_t = 50)]
    pub crowd: usize,
}

/// Compares ways to run a component that answers requests.
#[derive(Parser)]
pub struct ComponentArgs {
    /// The component
    #[arg(long)]
    pub hello: PathBuf,
    /// The wasmtime binary
    #[arg(long)]
    pub wasmtime: PathBuf,
    /// Measured rounds
    #[arg(long, default_value_t = 5)]
    pub rounds: usize,
}

/// Only compiles a module.
#[derive(Parser)]
pub struct CompileArgs {
    /// The module
    pub module: PathBuf,
}
