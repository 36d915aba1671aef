//! The command line.

use std::path::PathBuf;

use clap::Parser;

/// Measures the lifecycle of containers and prints Markdown tables.
#[derive(Parser)]
pub struct Args {
    #[command(flatten)]
    pub site: SiteArgs,
    /// The site's module
    #[arg(long)]
    pub module: PathBuf,
    /// The component that the stock runner serves
    #[arg(long)]
    pub hello: PathBuf,
    /// The nginx binary
    #[arg(long)]
    pub nginx: PathBuf,
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

/// Starts many sites at the same time.
#[derive(Parser)]
pub struct SiteArgs {
    /// The site's image
    #[arg(long)]
    pub image: PathBuf,
    /// The image's name
    #[arg(long, default_value = "docker.io/library/site:latest")]
    pub name: String,
    /// The server bundle that the site's module was built from
    #[arg(long)]
    pub entry: PathBuf,
    /// The page that it was built from
    #[arg(long)]
    pub template: PathBuf,
    /// The site's directory of assets
    #[arg(long)]
    pub assets: PathBuf,
    /// Our server as a Linux program
    #[arg(long)]
    pub server: PathBuf,
    /// Paths of pages that are the same for every visitor
    #[arg(required = true)]
    pub pages: Vec<String>,
    /// Different sites that run at the same time
    #[arg(long, default_value_t = 50)]
    pub sites: usize,
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
