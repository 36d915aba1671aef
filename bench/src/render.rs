//! `bench-render`: processor time for one page, in microseconds, of the same
//! bundle in our module, in QuickJS without WebAssembly, and in Node.
//!
//! All contestants take turns within each round; what is printed is the median
//! over the rounds, and its ratio to native QuickJS. Threads' own processor time
//! is counted, so other work on the machine disturbs less.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use cpu_time::ThreadTime;
use ssr_server::guest::Part;
use ssr_server::render::{RenderRequest, put};
use ssr_server::settings::Settings;
use ssr_server::site::{Destination, Site};
use ssr_server::time_limit::Interruption;
use tokio::sync::mpsc;

#[derive(Parser)]
struct Args {
    /// The module that `ssr build` made
    #[arg(long)]
    wasm: PathBuf,
    /// The bundle that it was made of
    #[arg(long)]
    entry: PathBuf,
    /// The page template that it was made with
    #[arg(long)]
    template: PathBuf,
    /// Paths of the pages
    #[arg(required = true)]
    pages: Vec<String>,
    /// Rounds, of which the median counts
    #[arg(long, default_value_t = 15)]
    rounds: usize,
    /// Renders of one page in one round
    #[arg(long, default_value_t = 100)]
    renders: usize,
}

const HEADERS: &str = "accept\ntext/html\naccept-language\nen\nhost\nlocalhost\nuser-agent\nbench\n";

fn main() -> Result<()> {
    let args = Args::parse();
    let entry = std::fs::read_to_string(&args.entry).with_context(|| args.entry.display().to_string())?;
    let template =
        std::fs::read_to_string(&args.template).with_context(|| args.template.display().to_string())?;
    let wasm = std::fs::read(&args.wasm).with_context(|| args.wasm.display().to_string())?;
    let mut contestants: Vec<(&str, Box<dyn Contestant>)> = vec![
        ("native QuickJS", Box::new(Native::new(&entry, &template)?)),
        ("ours", Box::new(Wasm::new(&wasm, Interruption::Signal)?)),
        ("ours, by epochs", Box::new(Wasm::new(&wasm, Interruption::Epoch)?)),
        ("ours, no time limit", Box::new(Wasm::new(&wasm, Interruption::None)?)),
        ("Node", Box::new(Node::start(&args.entry, &args.template)?)),
    ];

    let mut rows = Vec::new();
    for page in &args.pages {
        let mut sizes = Vec::new();
        let mut times = vec![Vec::new(); contestants.len()];
        for round in 0..=args.rounds {
            for (number, (_, contestant)) in contestants.iter_mut().enumerate() {
                let (microseconds, size) = contestant.render(page, args.renders)?;
                if round == 0 {
                    // Warm-up; and all must have made the same page.
                    sizes.push(size);
                } else {
                    times[number].push(microseconds);
                }
            }
        }
        ensure!(
            sizes.iter().all(|size| *size == sizes[0]),
            "{page}: the contestants rendered pages of different sizes: {sizes:?}"
        );
        rows.push((page, sizes[0], times.into_iter().map(median).collect::<Vec<_>>()));
    }
    print_table(&contestants.iter().map(|(name, _)| *name).collect::<Vec<_>>(), &rows);
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

fn print_table(names: &[&str], rows: &[(&String, usize, Vec<f64>)]) {
    println!("| page | bytes | {} |", names.join(" | "));
    println!("|---|---{}|", "|---".repeat(names.len()));
    for (page, size, times) in rows {
        let cells: Vec<String> =
            times.iter().map(|time| format!("{time:.0} ({:.2}×)", time / times[0])).collect();
        println!("| `{page}` | {size} | {} |", cells.join(" | "));
    }
}

/// Something that renders pages.
trait Contestant {
    /// Renders `page` so many times; gives the mean processor time in
    /// microseconds, and the page's size.
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)>;
}

fn request(page: &str) -> Vec<u8> {
    let url = format!("http://localhost{page}");
    RenderRequest { id: "bench", method: "GET", url: &url, path: page, headers: HEADERS, body: None }
        .encode("")
}

fn per_render(start: ThreadTime, times: usize) -> f64 {
    start.elapsed().as_secs_f64() * 1e6 / times as f64
}

/// Our module, a fresh instance for each render.
struct Wasm {
    site: Site,
    runtime: tokio::runtime::Runtime,
}

impl Wasm {
    fn new(wasm: &[u8], interruption: Interruption) -> Result<Self> {
        let settings = Settings { render_threads: 1, ..Settings::default() };
        let site = Site::with_interruption("ssr.wasm", wasm, &settings, interruption)?;
        Ok(Self { site, runtime: tokio::runtime::Builder::new_current_thread().build()? })
    }
}

impl Contestant for Wasm {
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)> {
        let input = request(page);
        let mut size = 0;
        let start = ThreadTime::now();
        for _ in 0..times {
            let (parts, mut response) = mpsc::channel(1);
            let runtime = self.runtime.handle().clone();
            self.site.render(&input, Destination { id: "bench".into(), parts, runtime })?;
            if let Ok(Part::Whole(_, body)) = response.try_recv() {
                size = body.len();
            }
        }
        Ok((per_render(start, times), size))
    }
}

/// The same engine without WebAssembly: one heap for all renders, no isolation.
struct Native;

impl Native {
    fn new(entry: &str, template: &str) -> Result<Self> {
        let mut input = Vec::new();
        for field in ["entry-server.js", entry, template] {
            put(&mut input, Some(field.as_bytes()));
        }
        give(&input);
        ssr_engine::ssr_init();
        let loaded = ssr_engine::host::take();
        ensure!(loaded.failure.is_none(), "native QuickJS: {loaded:?}");
        Ok(Self)
    }
}

fn give(input: &[u8]) {
    let room = ssr_engine::ssr_input(input.len());
    // SAFETY: `ssr_input` made room for so many bytes.
    unsafe { std::ptr::copy_nonoverlapping(input.as_ptr(), room, input.len()) };
}

impl Contestant for Native {
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)> {
        let input = request(page);
        let mut size = 0;
        let start = ThreadTime::now();
        for _ in 0..times {
            give(&input);
            ssr_engine::ssr_render();
            let answer = ssr_engine::host::take();
            ensure!(answer.failure.is_none() && answer.ended, "native QuickJS: {answer:?}");
            size = answer.body.len();
        }
        Ok((per_render(start, times), size))
    }
}

/// Node, warm, in a process that answers lines of JSON.
struct Node {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Node {
    fn start(entry: &Path, template: &Path) -> Result<Self> {
        let script = concat!(env!("CARGO_MANIFEST_DIR"), "/src/node-render.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .args([std::path::absolute(entry)?, std::path::absolute(template)?])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node")?;
        let stdin = child.stdin.take().context("node's stdin")?;
        let stdout = BufReader::new(child.stdout.take().context("node's stdout")?);
        Ok(Self { child, stdin, stdout })
    }
}

impl Contestant for Node {
    fn render(&mut self, page: &str, times: usize) -> Result<(f64, usize)> {
        writeln!(self.stdin, "{}", serde_json::json!({ "page": page, "times": times }))?;
        let mut line = String::new();
        self.stdout.read_line(&mut line)?;
        let answer: serde_json::Value = serde_json::from_str(&line).context("node broke off")?;
        let microseconds = answer["microseconds"].as_f64().context("node's answer")?;
        let size = answer["size"].as_u64().context("node's answer")?;
        Ok((microseconds, usize::try_from(size)?))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // It has nothing to lose; the wait reaps it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
