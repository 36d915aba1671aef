//! Root filesystems of the Linux servers: a program, the libraries that it names,
//! and the site's files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use ssr_e2e::http;

use crate::Args;
use crate::stage::{Stage, run};

pub const NODE: &str = "/bin/node";
pub const NGINX: &str = "/bin/nginx";

/// Our server as an ordinary static program.
pub fn ours(args: &Args, stage: &Stage) -> Result<PathBuf> {
    let root = directory(stage, "server")?;
    fs::copy(&args.server, root.join("ssr"))?;
    fs::copy(&args.module, root.join("ssr.wasm"))?;
    copy(&args.assets, &root.join("dist"))?;
    Ok(root)
}

/// Node with the site's bundle and a small server around it.
pub fn node(args: &Args, stage: &Stage) -> Result<PathBuf> {
    let root = directory(stage, "node")?;
    let program = run(Command::new("node").args(["-p", "process.execPath"]))?;
    install(Path::new(program.trim()), &root, NODE)?;
    fs::write(root.join("server.mjs"), include_str!("node-server.mjs"))?;
    fs::copy(&args.entry, root.join("entry-server.js"))?;
    // The bundle is a module, as the project's own package.json says.
    fs::write(root.join("package.json"), r#"{"type":"module"}"#)?;
    copy(&args.assets, &root.join("client"))?;
    Ok(root)
}

/// nginx with the pages as files.
pub fn nginx(args: &Args, stage: &Stage) -> Result<PathBuf> {
    let root = directory(stage, "nginx")?;
    install(&args.nginx, &root, NGINX)?;
    for empty in ["etc", "run", "tmp", "var/log/nginx", "var/lib/nginx"] {
        fs::create_dir_all(root.join(empty))?;
    }
    fs::write(root.join("etc/passwd"), "root:x:0:0:root:/:/bin/sh\n")?;
    fs::write(root.join("etc/group"), "root:x:0:\n")?;
    copy(&args.assets, &root.join("site"))?;
    prerender(args, &root.join("site"))?;
    Ok(root)
}

/// nginx takes no address from its environment.
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

/// Asks our own server for the pages and writes them where nginx looks for them.
fn prerender(args: &Args, site: &Path) -> Result<()> {
    let server = Server::start(args)?;
    for page in &args.pages {
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

/// `ssr serve`, ended with the value.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(args: &Args) -> Result<Self> {
        let port = http::free_port();
        let mut command = Command::new(&args.server);
        command.arg("serve").arg(&args.module).arg(&args.assets);
        command.env("SSR_LISTEN", format!("127.0.0.1:{port}")).stdout(Stdio::null()).stderr(Stdio::null());
        let server = Self { process: command.spawn().context("ssr serve")?, port };
        let answers = ssr_e2e::shell::poll(|| http::is_open(port).then_some(()));
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

fn directory(stage: &Stage, name: &str) -> Result<PathBuf> {
    let root = stage.dir().join(name);
    fs::create_dir_all(&root)?;
    Ok(root)
}

/// Copies a program to a place in a root filesystem, and its libraries to where
/// the dynamic linker will look for them.
fn install(program: &Path, root: &Path, place: &str) -> Result<()> {
    let inside = |path: &str| root.join(path.trim_start_matches('/'));
    let put = |from: &Path, to: PathBuf| -> Result<()> {
        fs::create_dir_all(to.parent().context("a directory")?)?;
        fs::copy(from, &to).with_context(|| from.display().to_string())?;
        Ok(())
    };
    put(program, inside(place))?;
    let libraries = run(Command::new("ldd").arg(program))?;
    ensure!(!libraries.contains("not found"), "{}: {libraries}", program.display());
    for library in libraries.split_whitespace().filter(|word| word.starts_with('/')) {
        put(Path::new(library), inside(library))?;
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    run(Command::new("cp").arg("-r").arg(from).arg(to))?;
    Ok(())
}
