//! A private containerd, and what the benchmarks do with containers under it.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use ssr_e2e::{Containerd, http, leaks};

use crate::command::run;
use crate::contestant::{Contestant, Origin};

/// Whatever takes longer hangs: even fifty compilations at once take less.
const LIMIT: Duration = Duration::from_secs(300);

/// How often to look whether a container that does not answer has stopped. Rare enough to
/// disturb no measurement.
const LOOK: Duration = Duration::from_secs(5);

/// How long containers are left idle. Our sites release memory after ten seconds.
pub const IDLE: Duration = Duration::from_secs(15);

/// The containerd, with a root filesystem and pages for the measurements.
pub struct Stage {
    containerd: Containerd,
    /// A root filesystem that contains only busybox.
    busybox: PathBuf,
    /// Paths of the pages that are requested.
    pages: Vec<String>,
}

impl Stage {
    /// Starts containerd.
    pub fn new(pages: Vec<String>) -> Result<Self> {
        let containerd = Containerd::start();
        let busybox = containerd.dir().join("busybox");
        fs::create_dir_all(busybox.join("bin"))?;
        fs::copy("/bin/busybox", busybox.join("bin/busybox")).context("busybox-static is not installed")?;
        Ok(Self { containerd, busybox, pages })
    }

    /// A directory for the contestants' files.
    pub fn dir(&self) -> &Path {
        self.containerd.dir()
    }

    /// Imports an image archive for WebAssembly.
    pub fn import(&self, archive: &Path) -> Result<()> {
        let archive = archive.to_str().context("the image's path")?;
        run(&mut self.containerd.ctr(["image", "import", "--platform", "wasi/wasm", archive]))?;
        Ok(())
    }

    /// Commits an empty snapshot in a layer's place. A layer that is a module holds no
    /// files, but containerd 1.6.20 tries to unpack it, and fails.
    pub fn pretend_unpacked(&self, layer: &str) -> Result<()> {
        run(&mut self.containerd.ctr(["snapshots", "prepare", "empty"]))?;
        run(&mut self.containerd.ctr(["snapshots", "commit", layer, "empty"]))?;
        Ok(())
    }

    /// Removes all code that our shim has compiled on this node.
    pub fn empty_code_cache(&self) -> Result<()> {
        match fs::remove_dir_all(self.containerd.code_cache()) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                Err(error).context("the code cache")
            }
            _ => Ok(()),
        }
    }

    /// The disk space that the code cache takes, in MB. Of files with holes only what is written
    /// counts.
    pub fn code_cache_on_disk(&self) -> Result<f64> {
        let cache = self.containerd.code_cache();
        // A shim need not keep anything.
        if !cache.exists() {
            return Ok(0.0);
        }
        let total = run(Command::new("du").args(["--summarize", "--block-size=1"]).arg(cache))?;
        let bytes: f64 = total.split_whitespace().next().context("a total")?.parse()?;
        Ok(bytes / 1e6)
    }

    /// Runs `ctr run --detach` for a container that will listen on the port.
    pub fn start(&self, contestant: &Contestant, id: &str, port: u16, options: &[&str]) -> Result<()> {
        let mut ctr = self.containerd.ctr(["run", "--detach", "--null-io", "--net-host"]);
        ctr.args(["--runtime", contestant.runtime]);
        ctr.args(["--env", &format!("{}=127.0.0.1:{port}", contestant.listen)]).args(options);
        match &contestant.origin {
            Origin::Image(name) => ctr.args(["--platform", "wasi/wasm"]).arg(name),
            Origin::Root(root) => {
                if let Some(prepare) = contestant.prepare {
                    prepare(root, port)?;
                }
                ctr.arg("--rootfs").arg(root)
            }
        };
        let command = contestant.command.iter().map(|word| word.replace("{port}", &port.to_string()));
        run(ctr.arg(id).args(command)).context(contestant.title)?;
        Ok(())
    }

    /// Starts a container. Returns the seconds from `ctr run` to the first HTTP 200, and
    /// the port.
    pub fn start_to_answer(&self, contestant: &Contestant, id: &str) -> Result<(f64, u16)> {
        let port = http::free_port();
        let start = Instant::now();
        self.start(contestant, id, port, &[])?;
        self.first_answer(port, Duration::from_millis(1)).context(contestant.title)?;
        Ok((start.elapsed().as_secs_f64(), port))
    }

    /// Waits for the first HTTP 200, with a pause between attempts.
    pub fn first_answer(&self, port: u16, pause: Duration) -> Result<()> {
        let start = Instant::now();
        let mut look = LOOK;
        while start.elapsed() < LIMIT {
            if let Some(status) = status_line(port) {
                ensure!(status.starts_with(b"HTTP/1.1 200"), "answered {}", String::from_utf8_lossy(&status));
                return Ok(());
            }
            if start.elapsed() > look {
                let tasks = run(&mut self.containerd.ctr(["task", "ls"]))?;
                ensure!(!tasks.contains("STOPPED"), "has stopped instead of answering");
                look += LOOK;
            }
            std::thread::sleep(pause);
        }
        bail!("does not answer; containerd and the shims logged:\n{}", self.containerd.log())
    }

    /// Requests pages one after the other, `times` in all.
    pub fn request(&self, port: u16, times: usize) -> Result<()> {
        self.pages.iter().cycle().take(times).try_for_each(|page| request_page(port, page).map(drop))
    }

    /// Requests `times` pages of each, taking turns, so that none is idle for long before all
    /// are done.
    pub fn request_in_turn(&self, ports: &[u16], times: usize) -> Result<()> {
        let mut pages = self.pages.iter().cycle().take(times);
        pages.try_for_each(|page| ports.iter().try_for_each(|port| request_page(*port, page).map(drop)))
    }

    /// Requests a page of each site in each of so many periods, evenly spread over it.
    pub fn request_in_periods(&self, ports: &[u16], period: Duration, times: usize) -> Result<()> {
        let start = Instant::now();
        let gap = period / u32::try_from(ports.len())?;
        let mut due = Duration::ZERO;
        for page in self.pages.iter().cycle().take(times) {
            for port in ports {
                std::thread::sleep(due.saturating_sub(start.elapsed()));
                request_page(*port, page)?;
                due += gap;
            }
        }
        Ok(())
    }

    /// Fails if one of the site's pages lacks a text.
    pub fn expect_in_pages(&self, port: u16, text: &str) -> Result<()> {
        self.pages.iter().try_for_each(|page| {
            ensure!(request_page(port, page)?.contains(text), "{page} is not the page of '{text}'");
            Ok(())
        })
    }

    /// Waits until idle containers have released the memory that they do not need.
    pub fn idle(&self) {
        std::thread::sleep(IDLE);
    }

    /// Sends SIGTERM to containers, waits until their tasks have stopped, and deletes them.
    pub fn remove(&self, ids: &[&str]) -> Result<()> {
        self.remove_by("SIGTERM", ids)
    }

    /// Like `remove`, for containers that may not listen to SIGTERM: as the first process of its
    /// container `wasmtime serve` does not.
    pub fn kill(&self, ids: &[&str]) -> Result<()> {
        self.remove_by("SIGKILL", ids)
    }

    fn remove_by(&self, signal: &str, ids: &[&str]) -> Result<()> {
        for id in ids {
            run(&mut self.containerd.ctr(["task", "kill", "--signal", signal, id]))?;
        }
        let start = Instant::now();
        loop {
            let list = run(&mut self.containerd.ctr(["task", "ls"]))?;
            let stopped = list.lines().filter(|line| line.contains("STOPPED"));
            if stopped.count() == ids.len() {
                break;
            }
            ensure!(start.elapsed() < LIMIT, "not all of {ids:?} stop:\n{list}");
        }
        run(self.containerd.ctr(["task", "delete"]).args(ids))?;
        run(self.containerd.ctr(["container", "delete"]).args(ids))?;
        Ok(())
    }

    /// The seconds that `ctr run --rm` takes for a program that exits immediately.
    pub fn start_to_exit(&self, runtime: &str) -> Result<f64> {
        let start = Instant::now();
        let mut ctr = self.containerd.ctr(["run", "--rm", "--null-io", "--runtime", runtime, "--rootfs"]);
        run(ctr.arg(&self.busybox).args(["true", "/bin/busybox", "true"]))?;
        Ok(start.elapsed().as_secs_f64())
    }

    /// All processes below the private init, except those that are exiting.
    pub fn running(&self) -> Vec<u32> {
        let mut running = leaks::descendants(self.containerd.init_pid());
        running.retain(|pid| Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok());
        running
    }

    /// The proportional set size in MB of each running process that is not in `others`.
    pub fn memory_besides(&self, others: &[u32]) -> Vec<f64> {
        let running = self.running();
        running.iter().filter(|pid| !others.contains(pid)).filter_map(|pid| pss(*pid)).collect()
    }

    /// Panics if the shims have left anything behind.
    pub fn assert_clean(&self) {
        self.containerd.assert_clean();
    }
}

/// The first bytes of the answer to a request for `/`, if there is an answer.
fn status_line(port: u16) -> Option<[u8; 12]> {
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()?;
    connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").ok()?;
    let mut status = [0; 12];
    connection.read_exact(&mut status).ok()?;
    Some(status)
}

/// A page, which must be answered with 200.
fn request_page(port: u16, page: &str) -> Result<String> {
    let answer = http::try_get(&format!("http://127.0.0.1:{port}{page}"))?;
    ensure!(answer.status == 200, "{page} answered {}", answer.status);
    Ok(answer.body)
}

/// A process's proportional set size, in MB.
fn pss(pid: u32) -> Option<f64> {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).ok()?;
    let kilobytes: f64 = rollup
        .lines()
        .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse().ok())?;
    Some(kilobytes * 1024.0 / 1e6)
}
