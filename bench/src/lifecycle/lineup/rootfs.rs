//! Root filesystems of the Linux servers: a program, its shared libraries and the
//! site's files. Each is made in a directory of its own below `dir`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ssr_e2e::{http, shell};

use crate::args::{Args, ComponentArgs};
use crate::command::run;

pub const NODE: &str = "/bin/node";
pub const NGINX: &str = "/bin/nginx";
pub const WASMTIME: &str = "/bin/wasmtime";

/// Our server as an ordinary static program.
pub fn ours(args: &Args, dir: &Path) -> Result<PathBuf> {
    let root = directory(dir, "server")?;
    fs::copy(&args.site.server, root.join("ssr"))?;
    fs::copy(&args.module, root.join("ssr.wasm"))?;
    copy_tree(&args.site.assets, &root.join("dist"))?;
    Ok(root)
}

/// Node with the site's server bundle and a small HTTP server.
pub fn node(args: &Args, dir: &Path) -> Result<PathBuf> {
    let root = directory(dir, "node")?;
    let program = run(Command::new("node").args(["-p", "process.execPath"]))?;
    install(Path::new(program.trim()), &root, NODE)?;
    fs::write(root.join("server.mjs"), include_str!("node-server.mjs"))?;
    fs::copy(&args.site.entry, root.join("entry-server.js"))?;
    fs::copy(&args.site.template, root.join("template.html"))?;
    // The bundle is an ES module, as the project's own package.json says.
    fs::write(root.join("package.json"), r#"{"type":"module"}"#)?;
    copy_tree(&args.site.assets, &root.join("client"))?;
    Ok(root)
}

/// wasmtime's own server with a component.
pub fn wasmtime(args: &ComponentArgs, dir: &Path) -> Result<PathBuf> {
    let root = directory(dir, "wasmtime")?;
    install(&args.wasmtime, &root, WASMTIME)?;
    fs::copy(&args.hello, root.join("hello.wasm"))?;
    Ok(root)
}

/// nginx with the prerendered pages as files.
pub fn nginx(args: &Args, dir: &Path) -> Result<PathBuf> {
    let root = directory(dir, "nginx")?;
    install(&args.nginx, &root, NGINX)?;
    for empty in ["etc", "run", "tmp", "var/log/nginx", "var/lib/nginx"] {
        fs::create_dir_all(root.join(empty))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    copy_tree(&args.site.assets, &root.join("site"))?;
    prerender(args, &root.join("site"))?;
    Ok(root)
}

/// Writes the configuration for a port: nginx reads no address from its environment.
pub fn configure_nginx(root: &Path, port: u16) -> Result<()> {
    let config = format!(
        "user root;
daemon off;
worker_processes 2;
pid /run/{port}.pid;
error_log stderr;
events {{}}
http {{
  types {{
    text/html html;
    text/css css;
    text/javascript js;
    image/svg+xml svg;
    font/woff2 woff2;
  }}
  access_log off;
  sendfile on;
  server {{
    listen 127.0.0.1:{port};
    root /site;
    location / {{ try_files $uri $uri.html $uri/index.html =404; }}
  }}
}}
"
    );
    fs::write(root.join(format!("etc/{port}.conf")), config)?;
    Ok(())
}

/// Requests the pages from our server and writes them where nginx looks for them.
fn prerender(args: &Args, site: &Path) -> Result<()> {
    let server = Server::start(args)?;
    for page in &args.site.pages {
        let url = format!("http://127.0.0.1:{}{page}", server.port);
        let answer = http::try_get(&url)?;
        ensure!(answer.status == 200, "{page} answered {}", answer.status);
        let name = if page == "/" { "index" } else { page.trim_start_matches('/') };
        let file = site.join(format!("{name}.html"));
        fs::create_dir_all(file.parent().context("a directory")?)?;
        fs::write(file, answer.body)?;
    }
    Ok(())
}

/// A running `ssr serve`, killed when the value is dropped.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(args: &Args) -> Result<Self> {
        let port = http::free_port();
        let mut command = Command::new(&args.site.server);
        command.arg("serve").arg(&args.module).arg(&args.site.assets);
        command.env("SSR_LISTEN", format!("127.0.0.1:{port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { process: command.spawn().context("ssr serve")?, port };
        let answers = shell::poll(|| http::is_open(port).then_some(()));
        answers.context("ssr serve does not answer")?;
        Ok(server)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn directory(dir: &Path, name: &str) -> Result<PathBuf> {
    let root = dir.join(name);
    fs::create_dir_all(&root)?;
    Ok(root)
}

/// Copies a program to a path in a root filesystem, and its shared libraries to
/// where the dynamic linker looks for them.
fn install(program: &Path, root: &Path, path: &str) -> Result<()> {
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    let copy = |from: &Path, to: PathBuf| -> Result<()> {
        fs::create_dir_all(to.parent().context("a directory")?)?;
        fs::copy(from, &to).with_context(|| from.display().to_string())?;
        Ok(())
    };
    copy(program, inside(path))?;
    let libraries = run(Command::new("ldd").arg(program))?;
    ensure!(!libraries.contains("not found"), "{}: {libraries}", program.display());
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        copy(Path::new(library), inside(library))?;
    }
    Ok(())
}

fn copy_tree(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("-r").arg(from).arg(to))?;
    Ok(())
}
