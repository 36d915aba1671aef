//! Who takes part, with images and root filesystems prepared.

pub mod sites;

mod rootfs;
mod wasm_image;

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use serde_json::json;
use ssr_e2e::Image;

use crate::args::{Args, ComponentArgs};
use crate::contestant::{Compiles, Contestant, Origin};
use crate::stage::Stage;

const RUNC: &str = "io.containerd.runc.v2";
const SITE: &[&str] = &["/ssr.wasm", "/dist"];
const LISTEN: &str = "SSR_LISTEN";

/// All contestants, ours first.
pub fn all(args: &Args, stage: &Stage) -> Result<Vec<Contestant>> {
    stage.import(&args.site.image)?;
    import_component(&args.hello, stage)?;
    Ok(vec![
        ours(args.site.name.clone()),
        stock_component(),
        Contestant {
            title: "our server, stock lifecycle",
            runtime: "io.containerd.ssrstock.v1",
            origin: Origin::Image(args.site.name.clone()),
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
            command: &[rootfs::NODE, "/server.mjs", "/entry-server.js", "/client", "/template.html"],
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

/// Those that serve a component, ours first.
pub fn components(args: &ComponentArgs, stage: &Stage) -> Result<Vec<Contestant>> {
    import_component(&args.hello, stage)?;
    let hello = fs::read(&args.hello).context("the component")?;
    let config = json!({ "Entrypoint": ["/hello.wasm"] });
    let image = Image::from_files(&config, &[("hello.wasm", hello.as_slice())]);
    stage.import(&image.path())?;
    Ok(vec![
        Contestant {
            title: "ours",
            runtime: "io.containerd.ssr.v1",
            origin: Origin::Image(image.name().to_owned()),
            command: &[],
            listen: LISTEN,
            prepare: None,
            compiles: Compiles::Once,
        },
        stock_component(),
        Contestant {
            title: "wasmtime serve, runc",
            runtime: RUNC,
            origin: Origin::Root(rootfs::wasmtime(args, stage.dir())?),
            command: &[rootfs::WASMTIME, "serve", "-Scli", "--addr", "127.0.0.1:{port}", "/hello.wasm"],
            listen: LISTEN,
            prepare: None,
            compiles: Compiles::Always,
        },
    ])
}

/// A site under our shim, by its image's name.
fn ours(image: String) -> Contestant {
    Contestant {
        title: "ours",
        runtime: "io.containerd.ssr.v1",
        origin: Origin::Image(image),
        command: SITE,
        listen: LISTEN,
        prepare: None,
        compiles: Compiles::Once,
    }
}

fn stock_component() -> Contestant {
    Contestant {
        title: "stock runwasi, hello component",
        runtime: "io.containerd.stockwasmtime.v1",
        origin: Origin::Image(wasm_image::NAME.to_owned()),
        command: &[],
        listen: "WASMTIME_HTTP_PROXY_SOCKET_ADDR",
        prepare: None,
        compiles: Compiles::Never,
    }
}

/// Imports a component as an image that runwasi runs.
fn import_component(component: &Path, stage: &Stage) -> Result<()> {
    let archive = stage.dir().join("hello.tar");
    let layer = wasm_image::write(component, wasm_image::NAME, &archive)?;
    stage.pretend_unpacked(&layer)?;
    stage.import(&archive)
}
