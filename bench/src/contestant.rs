//! Who takes part.

use std::path::{Path, PathBuf};

use anyhow::Result;

use crate::stage::Stage;
use crate::{Args, rootfs, wasm_image};

/// Where a container's files come from.
pub enum Origin {
    /// An image by its name.
    Image(String),
    /// A root filesystem in a directory.
    Root(PathBuf),
}

/// A way to serve a site from a container.
pub struct Contestant {
    pub title: &'static str,
    pub runtime: &'static str,
    pub origin: Origin,
    /// `{port}` stands for the port.
    pub command: &'static [&'static str],
    /// The variable that says where to listen.
    pub listen: &'static str,
    /// Does what a server needs that knows no such variable.
    pub prepare: Option<fn(&Path, u16) -> Result<()>>,
    pub compiles: Compiles,
}

/// When a contestant compiles.
#[derive(PartialEq, Eq)]
pub enum Compiles {
    /// Not when it starts, but for the very first time.
    Never,
    /// Where the node has no code of ours.
    Once,
    /// At every start.
    Always,
}

const RUNC: &str = "io.containerd.runc.v2";
const SITE: &[&str] = &["/ssr.wasm", "/dist"];
const LISTEN: &str = "SSR_LISTEN";

/// All contestants, ours first.
pub fn all(args: &Args, stage: &Stage) -> Result<Vec<Contestant>> {
    stage.import(&args.image)?;
    let hello = stage.dir().join("hello.tar");
    let layer = wasm_image::write(&args.hello, wasm_image::NAME, &hello)?;
    stage.pretend_unpacked(&layer)?;
    stage.import(&hello)?;
    let site = || Origin::Image(args.name.clone());
    Ok(vec![
        Contestant {
            title: "ours",
            runtime: "io.containerd.ssr.v1",
            origin: site(),
            command: SITE,
            listen: LISTEN,
            prepare: None,
            compiles: Compiles::Once,
        },
        Contestant {
            title: "stock runwasi, hello component",
            runtime: "io.containerd.stockwasmtime.v1",
            origin: Origin::Image(wasm_image::NAME.to_owned()),
            command: &[],
            listen: "WASMTIME_HTTP_PROXY_SOCKET_ADDR",
            prepare: None,
            compiles: Compiles::Never,
        },
        Contestant {
            title: "our server, stock lifecycle",
            runtime: "io.containerd.ssrstock.v1",
            origin: site(),
            command: SITE,
            listen: LISTEN,
            prepare: None,
            compiles: Compiles::Always,
        },
        Contestant {
            title: "our server, runc",
            runtime: RUNC,
            origin: Origin::Root(rootfs::ours(args, stage)?),
            command: &["/ssr", "serve", "/ssr.wasm", "/dist"],
            listen: LISTEN,
            prepare: None,
            compiles: Compiles::Always,
        },
        Contestant {
            title: "Node, runc",
            runtime: RUNC,
            origin: Origin::Root(rootfs::node(args, stage)?),
            command: &[rootfs::NODE, "/server.mjs", "/entry-server.js", "/client"],
            listen: LISTEN,
            prepare: None,
            compiles: Compiles::Never,
        },
        Contestant {
            title: "nginx, prerendered pages, runc",
            runtime: RUNC,
            origin: Origin::Root(rootfs::nginx(args, stage)?),
            command: &[rootfs::NGINX, "-c", "/etc/{port}.conf"],
            listen: LISTEN,
            prepare: Some(rootfs::configure_nginx),
            compiles: Compiles::Never,
        },
    ])
}
