//! Many different sites: the demo site under other names, each built and packed as its author
//! would.

use std::fs;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};

use super::ours;
use crate::args::SiteArgs;
use crate::command::run;
use crate::contestant::Contestant;
use crate::stage::Stage;

/// What the demo site calls itself, in the titles and the text of its pages.
const NAME: &str = "containerd-shim-ssr";

/// Lines of text that each site has more than the one before it, and after how many sites that
/// begins again: no bundle is more than 200 kB longer than the demo site's.
const LINES: usize = 225;
const LENGTHS: usize = 50;

/// A site under our shim.
pub struct Site {
    pub contestant: Contestant,
    /// What all its pages say, and no page of the other sites.
    pub name: String,
}

/// The demo site, whose image has been imported.
pub fn one(args: &SiteArgs) -> Site {
    Site { contestant: ours(args.name.clone()), name: NAME.to_owned() }
}

/// The others, imported.
pub fn many(args: &SiteArgs, stage: &Stage) -> Result<Vec<Site>> {
    let bundle = fs::read_to_string(&args.entry).with_context(|| args.entry.display().to_string())?;
    ensure!(bundle.contains(NAME), "{} does not mention {NAME}", args.entry.display());
    (1..=args.sites).map(|number| site(args, stage, &bundle, number)).collect()
}

fn site(args: &SiteArgs, stage: &Stage, bundle: &str, number: usize) -> Result<Site> {
    // Of equal length: no name is the beginning of another one.
    let name = format!("demo-site-{number:04}");
    let [entry, module, archive] =
        ["entry-server.js", "ssr.wasm", "site.tar"].map(|file| stage.dir().join(format!("many-{file}")));
    fs::write(&entry, renamed(bundle, &name, number))?;
    run(Command::new(&args.server)
        .arg("build")
        .arg(&entry)
        .arg("--template")
        .arg(&args.template)
        .arg("-o")
        .arg(&module))?;
    run(Command::new(&args.server)
        .args(["image", "--tag", &name, "--wasm"])
        .arg(&module)
        .arg("--static")
        .arg(&args.assets)
        .arg("-o")
        .arg(&archive))?;
    stage.import(&archive)?;
    for file in [entry, module, archive] {
        fs::remove_file(file)?;
    }
    Ok(Site { contestant: ours(format!("docker.io/library/{name}:latest")), name })
}

/// The bundle with another name and another length. The length decides where the engine has put
/// what it works with: sites of about one length have most pages of their memories in common, and
/// strangers only a sixth.
fn renamed(bundle: &str, name: &str, number: usize) -> String {
    let text = format!("// {name}\n").repeat(LINES * (number % LENGTHS));
    text + &bundle.replace(NAME, name)
}
