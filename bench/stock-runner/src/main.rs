//! `containerd-shim-ssr-v1`: containerd runs this binary for every container
//! whose runtime is `io.containerd.ssr.v1`. The container's life (create, start,
//! kill, delete) is `containerd-shim-wasm`'s; what runs inside is the web server
//! in `ssr-server`.

mod logger;
mod sandbox;

use containerd_shim_wasm::shim::{Cli, Config, Shim, Version};

struct Ssr;

impl Shim for Ssr {
    type Sandbox = sandbox::Site;

    fn name() -> &'static str {
        "ssr"
    }

    fn version() -> Version {
        Version {
            version: env!("CARGO_PKG_VERSION"),
            revision: option_env!("SSR_REVISION").unwrap_or("<none>"),
        }
    }
}

fn main() {
    // Before anything forks: the process that becomes the container inherits
    // this logger and turns it to the container's stderr.
    logger::init();
    Ssr::run(Config { no_setup_logger: true, ..Config::default() });
}
