//! `containerd-shim-ssrstock-v1` (runtime `io.containerd.ssrstock.v1`): our web server
//! under the stock lifecycle of `containerd-shim-wasm`, the baseline for our own task
//! service.

mod sandbox;

use containerd_shim_wasm::shim::{Cli, Config, Shim, Version};

struct Stock;

impl Shim for Stock {
    type Sandbox = sandbox::Site;

    fn name() -> &'static str {
        "ssrstock"
    }

    fn version() -> Version {
        Version { version: env!("CARGO_PKG_VERSION"), revision: "<none>" }
    }
}

fn main() {
    Stock::run(Config::default());
}
