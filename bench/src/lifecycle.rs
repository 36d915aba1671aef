//! What a container costs around its requests: the time until it answers, the
//! time of one that has nothing to do, its processes and their memory. Ours, the
//! stock lifecycle with the same server, and runc with that server as an
//! ordinary Linux program, taking turns under one containerd.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use clap::Parser;
use ssr_e2e::{Lab, http, leaks};

/// Measures the life of containers and prints Markdown tables.
#[derive(Parser)]
struct Args {
    /// The site's image
    #[arg(long)]
    image: PathBuf,
    /// The name that it has
    #[arg(long, default_value = "docker.io/library/site:latest")]
    name: String,
    /// The site's module
    #[arg(long)]
    module: PathBuf,
    /// The site's directory of assets
    #[arg(long)]
    assets: PathBuf,
    /// The server as a Linux program
    #[arg(long)]
    server: PathBuf,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 9)]
    rounds: usize,
}

/// Nothing takes this long unless it hangs.
const LIMIT: Duration = Duration::from_secs(60);

const SITE: &[&str] = &["/ssr.wasm", "/dist"];

/// A way to run the same site.
struct Contestant {
    title: &'static str,
    runtime: &'static str,
    /// The site's root filesystem, where it is no image.
    root: Option<PathBuf>,
    command: &'static [&'static str],
}

struct Bench {
    lab: Lab,
    name: String,
    /// A root filesystem with nothing but busybox.
    busybox: PathBuf,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let lab = Lab::start();
    let archive = args.image.to_str().context("the image's path")?;
    run(&mut lab.ctr(["image", "import", "--platform", "wasi/wasm", archive]))?;
    let root = lab.dir().join("server");
    fs::create_dir_all(&root)?;
    fs::copy(&args.server, root.join("ssr"))?;
    fs::copy(&args.module, root.join("ssr.wasm"))?;
    run(Command::new("cp").arg("-r").arg(&args.assets).arg(root.join("dist")))?;
    let busybox = lab.dir().join("busybox");
    fs::create_dir_all(busybox.join("bin"))?;
    fs::copy("/bin/busybox", busybox.join("bin/busybox")).context("busybox-static is not installed")?;
    let bench = Bench { lab, name: args.name, busybox };
    let contestants = [
        Contestant { title: "ours", runtime: "io.containerd.ssr.v1", root: None, command: SITE },
        Contestant {
            title: "stock lifecycle",
            runtime: "io.containerd.ssrstock.v1",
            root: None,
            command: SITE,
        },
        Contestant {
            title: "runc, static binary",
            runtime: "io.containerd.runc.v2",
            root: Some(root),
            command: &["/ssr", "serve", "/ssr.wasm", "/dist"],
        },
    ];

    let mut times = vec![[Vec::new(), Vec::new(), Vec::new()]; contestants.len()];
    for round in 0..=args.rounds {
        for (contestant, times) in contestants.iter().zip(&mut times) {
            let measured = [
                bench.start_to_first_byte(contestant)?,
                bench.stop(contestant)?,
                bench.start_to_exit(contestant.runtime)?,
            ];
            // The first is for warming up.
            if round > 0 {
                times.iter_mut().zip(measured).for_each(|(times, time)| times.push(time.as_secs_f64()));
            }
        }
    }
    println!(
        "| milliseconds, median of {} | start to first byte | stop to gone | `true`, start to exit |",
        args.rounds
    );
    println!("|---|---|---|---|");
    let floor = times[0].clone().map(median);
    for (contestant, times) in contestants.iter().zip(times) {
        let cells = times.map(median).into_iter().zip(floor);
        let cells: Vec<_> =
            cells.map(|(time, ours)| format!("{:.0} ({:.2}×)", time * 1e3, time / ours)).collect();
        println!("| {} | {} |", contestant.title, cells.join(" | "));
    }

    println!(
        "\n| after 100 pages | processes of a container | PSS of each, MB | in all, MB | processes of a pod of two sites |"
    );
    println!("|---|---|---|---|---|");
    for contestant in &contestants {
        println!("{}", bench.processes(contestant)?);
    }
    bench.lab.assert_clean();
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Bench {
    /// `ctr run --detach` of the site; the port on which it will answer.
    fn start(&self, contestant: &Contestant, id: &str, options: &[&str]) -> Result<u16> {
        let port = http::free_port();
        let mut ctr = self.lab.ctr(["run", "--detach", "--null-io", "--net-host"]);
        ctr.args(["--runtime", contestant.runtime, "--env", &format!("SSR_LISTEN=127.0.0.1:{port}")]);
        ctr.args(options);
        match &contestant.root {
            Some(root) => ctr.arg("--rootfs").arg(root),
            None => ctr.args(["--platform", "wasi/wasm"]).arg(&self.name),
        };
        run(ctr.arg(id).args(contestant.command))?;
        Ok(port)
    }

    fn start_to_first_byte(&self, contestant: &Contestant) -> Result<Duration> {
        let start = Instant::now();
        let port = self.start(contestant, "site", &[])?;
        first_byte(port)?;
        Ok(start.elapsed())
    }

    /// SIGTERM to the site, until the task has ended and is deleted.
    fn stop(&self, contestant: &Contestant) -> Result<Duration> {
        let start = Instant::now();
        self.remove("site").with_context(|| contestant.title)?;
        Ok(start.elapsed())
    }

    fn remove(&self, id: &str) -> Result<()> {
        run(&mut self.lab.ctr(["task", "kill", id]))?;
        let start = Instant::now();
        loop {
            let list = run(&mut self.lab.ctr(["task", "ls"]))?;
            if list.lines().any(|line| line.starts_with(&format!("{id} ")) && line.contains("STOPPED")) {
                break;
            }
            ensure!(start.elapsed() < LIMIT, "'{id}' does not stop");
        }
        run(&mut self.lab.ctr(["task", "delete", id]))?;
        run(&mut self.lab.ctr(["container", "delete", id]))?;
        Ok(())
    }

    /// `ctr run --rm` of a program that ends at once.
    fn start_to_exit(&self, runtime: &str) -> Result<Duration> {
        let start = Instant::now();
        let mut ctr = self.lab.ctr(["run", "--rm", "--null-io", "--runtime", runtime, "--rootfs"]);
        run(ctr.arg(&self.busybox).args(["true", "/bin/busybox", "true"]))?;
        Ok(start.elapsed())
    }

    /// A row of the second table.
    fn processes(&self, contestant: &Contestant) -> Result<String> {
        let engine = self.running();
        let port = self.start(contestant, "site", &[])?;
        first_byte(port)?;
        for _ in 0..100 {
            ensure!(http::get(&format!("http://127.0.0.1:{port}/")).status == 200, "a page failed");
        }
        let mut own: Vec<u32> = self.running();
        own.retain(|pid| !engine.contains(pid));
        let sizes: Vec<f64> = own.iter().map(|pid| pss(*pid)).collect();
        let of_container = own.len();
        self.remove("site")?;

        // As CRI marks the containers of a pod.
        let pod = ["--annotation", "io.kubernetes.cri.sandbox-id=one"];
        for id in ["one", "two"] {
            first_byte(self.start(contestant, id, &pod)?)?;
        }
        let of_pod = self.running().len() - engine.len();
        ["two", "one"].iter().try_for_each(|id| self.remove(id))?;
        let each: Vec<_> = sizes.iter().map(|size| format!("{size:.1}")).collect();
        Ok(format!(
            "| {} | {of_container} | {} | {:.1} | {of_pod} |",
            contestant.title,
            each.join(" + "),
            sizes.iter().sum::<f64>()
        ))
    }

    /// Everything that runs under the lab, but for what is about to end.
    fn running(&self) -> Vec<u32> {
        let mut running = leaks::descendants(self.lab.first());
        running.retain(|pid| Path::new(&format!("/proc/{pid}/exe")).read_link().is_ok());
        running
    }
}

/// Runs a command, which must succeed, and returns what it printed.
fn run(command: &mut Command) -> Result<String> {
    let output = command.output()?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Waits for the first byte of a page.
fn first_byte(port: u16) -> Result<()> {
    let start = Instant::now();
    while start.elapsed() < LIMIT {
        if let Ok(mut connection) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            connection.write_all(b"GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
            let mut byte = [0];
            if connection.read(&mut byte)? == 1 {
                return Ok(());
            }
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    bail!("the site does not answer")
}

/// A process's proportional share of memory, in MB.
fn pss(pid: u32) -> f64 {
    let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let kilobytes =
        rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix(" kB")?.parse().ok());
    kilobytes.unwrap_or(f64::NAN) / 1000.0
}
