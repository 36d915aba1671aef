//! What is compared.

use std::path::{Path, PathBuf};

use anyhow::Result;

/// A way to serve a site from a container.
pub struct Contestant {
    /// Its name in the tables.
    pub title: &'static str,
    /// containerd's name of the runtime.
    pub runtime: &'static str,
    pub origin: Origin,
    /// The arguments; `{port}` stands for the port.
    pub command: &'static [&'static str],
    /// The environment variable with the address to listen on.
    pub listen: &'static str,
    /// Configures a server that knows no such variable, in its root filesystem.
    pub prepare: Option<fn(&Path, u16) -> Result<()>>,
    pub compiles: Compiles,
}

/// Where a container's files come from.
pub enum Origin {
    /// An image, by its name.
    Image(String),
    /// A root filesystem in a directory.
    Root(PathBuf),
}

/// When a contestant compiles.
#[derive(PartialEq, Eq)]
pub enum Compiles {
    /// Never, or only for its very first start.
    Never,
    /// When the node's code cache lacks the module.
    Once,
    /// At every start.
    Always,
}
