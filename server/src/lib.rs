//! Serves a website: pages rendered by a WebAssembly module, assets from a directory.
//! Knows nothing of containers: the shim and `ssr serve` use it alike.
//!
//! A request's way through the modules: [`net`] accepts it, [`router`] decides, [`assets`]
//! or [`pages`] answers. [`guest`] loads what makes pages. A module that
//! answers no requests but runs once is a [`Command`].

mod access_log;
mod assets;
mod body;
mod command;
mod container_memory;
pub mod error;
mod guest;
pub mod log_buffer;
mod net;
mod pages;
pub mod probe;
mod request_id;
mod router;
mod run;
pub mod settings;
mod supervisor;
mod target;

pub use assets::has_outlet;
pub use command::{Command, is_command, run_command, split_function};
pub use guest::{ProgramFiles, serves_programs};
pub use net::STOP_SIGNALS;
pub use run::{SiteSource, run, serve};
pub use supervisor::{Report, Supervisor};
