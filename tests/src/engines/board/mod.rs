//! An emulated board, which `scripts/board.sh` boots: its console, its files, and the one that a
//! run of the tests shares.

mod console;
mod node;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, Sender};
use std::thread;
use std::time::Duration;

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use crate::images::Image;
use crate::shell::Output;
use crate::under_test;

use console::Console;
pub use node::{Page, pages_in_node};

/// How long a board may take until containerd answers. The machine may be busy.
const BOOT: Duration = Duration::from_secs(600);

/// The limit for what a board is asked to do.
const PATIENCE: Duration = Duration::from_secs(600);

/// What a board's shell knows in each script.
const FUNCTIONS: &str = include_str!("functions.sh");

/// The image of the demo site, as `make image` names it.
pub const SITE: &str = "docker.io/library/site:latest";

/// A board: its name, as `scripts/board.sh` takes it.
pub struct Board {
    name: String,
    console: Console,
    /// The emulator is killed when this is dropped.
    _power: Sender<()>,
    /// The images of the tests' site, of the same of an engine that the shim does not carry, and of
    /// different sites.
    fixture: String,
    to_compile: String,
    different: Vec<String>,
}

static BOARD: Mutex<State> = Mutex::new(State::Off);

enum State {
    Off,
    /// Its first test says why. Further ones would wait as long.
    DoesNotBoot,
    On(Board),
}

impl Board {
    /// The board that SSR_BOARD names, for one test. It is booted for the first one, and ends with
    /// the tests' process. What an earlier test has left running is gone.
    pub fn get() -> MappedMutexGuard<'static, Self> {
        let mut board = MutexGuard::map(BOARD.lock(), |state| {
            if matches!(state, State::Off) {
                *state = State::DoesNotBoot;
                *state = State::On(Self::boot());
            }
            match state {
                State::On(board) => board,
                _ => panic!("the board does not boot: the first test that has failed says why"),
            }
        });
        board.run("clean");
        board
    }

    fn boot() -> Self {
        let name = std::env::var("SSR_BOARD")
            .expect("SSR_BOARD is not set: arm64, arm64-16k, armv7 or armv6; `make test-boards` sets it");
        let architecture = if name.starts_with("arm64") { "arm64" } else { &name };
        let fixture = Image::from_fixture("site.js");
        let to_compile = Image::to_compile("site.js");
        let different = different_sites(&fixture, if architecture == "arm64" { 100 } else { 8 });
        let files = tempfile::Builder::new().prefix("ssr-board-").tempdir().expect("a temporary directory");
        write_files(
            files.path(),
            architecture,
            &[
                ("site.tar", &under_test::repository().join("target/image/site.tar")),
                ("fixture.tar", &fixture.path()),
                ("to-compile.tar", &to_compile.path()),
            ],
        );
        let sites = files.path().join("sites");
        fs::create_dir(&sites).expect("a directory");
        for (n, image) in different.iter().enumerate() {
            fs::copy(image.path(), sites.join(format!("{n}.tar"))).expect("a copy");
        }
        let (console, power) = power_on(&name, files.path());
        let mut board = Self {
            name,
            console,
            _power: power,
            fixture: fixture.name().to_owned(),
            to_compile: to_compile.name().to_owned(),
            different: different.iter().map(|image| image.name().to_owned()).collect(),
        };
        if let Err(error) = board.console.wait_until_ready(BOOT) {
            panic!("the board {} does not boot: {error}", board.name);
        }
        // They are on its disk.
        drop(files);
        board.run_within("until ctr version; do sleep 1; done >/dev/null 2>&1", BOOT);
        for archive in ["site", "fixture", "to-compile"] {
            board.run(&format!("ctr image import --platform wasi/wasm /files/{archive}.tar"));
        }
        board
    }

    /// Runs a script that must succeed, and returns what it prints.
    pub fn run(&mut self, script: &str) -> String {
        self.run_within(script, PATIENCE)
    }

    /// The same, which may take longer.
    pub fn run_within(&mut self, script: &str, limit: Duration) -> String {
        let output = self.try_run(script, limit);
        assert_eq!(output.code, 0, "{script}\n{}{}", output.stdout, output.stderr);
        output.stdout
    }

    /// Runs a script that may fail.
    pub fn try_run(&mut self, script: &str, limit: Duration) -> Output {
        let script = format!("{FUNCTIONS}\n{script}");
        self.console.run(&script, limit).unwrap_or_else(|error| panic!("{}: {error}\n{script}", self.name))
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether its addresses have 64 bits.
    pub fn is_64_bit(&self) -> bool {
        self.name.starts_with("arm64")
    }

    /// What `SSR_ARCH` is on it.
    pub fn processor(&self) -> &'static str {
        if self.is_64_bit() { "aarch64" } else { "arm" }
    }

    /// What `SSR_BACKEND` is for sites of the release's engine.
    pub fn back_end(&self) -> &'static str {
        if self.is_64_bit() { "cranelift" } else { "wasm2c" }
    }

    /// What it is for modules that have to be compiled.
    pub fn back_end_of_others(&self) -> &'static str {
        if self.is_64_bit() { "cranelift" } else { "pulley" }
    }

    /// The image of the tests' site.
    pub fn fixture(&self) -> &str {
        &self.fixture
    }

    /// The same of an engine that the shim does not carry.
    pub fn to_compile(&self) -> &str {
        &self.to_compile
    }

    /// Sites with content of their own, [`heading`] on the first page. `/files/sites/N.tar` has
    /// each; they are not imported.
    pub fn different_sites(&self) -> Vec<String> {
        self.different.clone()
    }
}

/// What the first page of one of the different sites says.
pub fn heading(site: usize) -> String {
    format!("hello from site {site:05}")
}

/// The tests' site with other headings, of the same length, written into its module: building so many
/// sites would take minutes. To a node they are different sites.
fn different_sites(site: &Image, count: usize) -> Vec<Image> {
    let module = site.module();
    let original = b"hello from the module";
    let places: Vec<usize> = module
        .windows(original.len())
        .enumerate()
        .filter_map(|(place, window)| (window == original).then_some(place))
        .collect();
    assert!(!places.is_empty(), "the site's module has its heading");
    let with_heading = |n: usize| {
        let (mut module, heading) = (module.clone(), heading(n));
        assert_eq!(heading.len(), original.len());
        for place in &places {
            module[*place..*place + heading.len()].copy_from_slice(heading.as_bytes());
        }
        Image::from_module(&module)
    };
    (0..count).map(with_heading).collect()
}

/// Writes what a board finds in `/files`.
fn write_files(directory: &Path, architecture: &str, images: &[(&str, &Path)]) {
    let bin = directory.join("bin");
    fs::create_dir(&bin).expect("a directory");
    let program = under_test::repository()
        .join("target/dist-build/with-engines")
        .join(architecture)
        .join("containerd-shim-ssr-v1");
    fs::copy(&program, bin.join("containerd-shim-ssr-v1")).unwrap_or_else(|error| {
        panic!("{}: {error}; scripts/dist.sh {architecture} makes it", program.display())
    });
    symlink("containerd-shim-ssr-v1", bin.join("ssr")).expect("a link");
    let scripts = [("ask", include_str!("ask")), ("supervise", include_str!("supervise"))];
    for (name, script) in scripts {
        let path = bin.join(name);
        fs::write(&path, script).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable script");
    }
    for (name, image) in images {
        fs::copy(image, directory.join(name))
            .unwrap_or_else(|error| panic!("{}: {error}; make image makes it", image.display()));
    }
}

/// Starts the emulator, which is killed when the sender is dropped. A thread starts it that ends with
/// this process, if not earlier, and the kernel kills it with that thread.
fn power_on(name: &str, files: &Path) -> (Console, Sender<()>) {
    let session = files.join("session");
    fs::write(&session, include_str!("session.sh")).expect("a script");
    let mut command = Command::new("setpriv");
    command
        .args(["--pdeathsig", "KILL"])
        .arg(under_test::repository().join("scripts/board.sh"))
        .args([name.as_ref(), files.as_os_str(), "--session".as_ref(), session.as_os_str()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let (sender, receiver) = mpsc::channel();
    let (power, is_off) = mpsc::channel();
    thread::spawn(move || {
        let mut board = command.spawn().expect("setpriv: run `scripts/setup.sh boards`");
        let console = Console::new(board.stdin.take().expect("a pipe"), board.stdout.take().expect("a pipe"));
        sender.send(console).expect("a test that waits");
        // Nothing is sent: an error says that the sender is dropped.
        let _ = is_off.recv();
        board.kill().expect("kill the emulator");
        board.wait().expect("wait for the emulator");
    });
    (receiver.recv().expect("a console"), power)
}
