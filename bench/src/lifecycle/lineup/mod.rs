//! Who takes part, with images and root filesystems prepared.

mod rootfs;
mod wasm_image;

use anyhow::Result;

use crate::args::Args;
use crate::contestant::{Compiles, Contestant, Origin};
use crate::stage::Stage;

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
            origin: Origin::Root(rootfs::ours(args, stage.dir())?),
            command: &["/ssr", "serve", "/ssr.wasm", "/dist"],
            listen: LISTEN,
            prepare: None,
            compiles: Compiles::Always,
        },
        Contestant {
            title: "Node, runc",
            runtime: RUNC,
            origin: Origin::Root(rootfs::node(args, stage.dir())?),
            command: &[rootfs::NODE, "/server.mjs", "/entry-server.js", "/client"],
            listen: LISTEN,
            prepare: None,
            compiles: Compiles::Never,
        },
        Contestant {
            title: "nginx, prerendered pages, runc",
            runtime: RUNC,
            origin: Origin::Root(rootfs::nginx(args, stage.dir())?),
            command: &[rootfs::NGINX, "-c", "/etc/{port}.conf"],
            listen: LISTEN,
            prepare: Some(rootfs::configure_nginx),
            compiles: Compiles::Never,
        },
    ])
}
