//! `ssr serve`: the server, without a container engine.

mod from_image;
mod private_directory;
mod systemd;

use std::fmt;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches};
use ssr_server::error::ServeError;
use ssr_server::settings::{RENAMED, SettingError, Settings, TABLE};
use ssr_server::{ProgramFiles, SiteSource};
use ssr_wasi::Directory;

use self::from_image::{ImageSite, Prepared};

use crate::user_code;

/// Arguments of `ssr serve`: the module, the assets, and a flag for each setting.
#[derive(Debug)]
pub struct ServeArgs {
    module: String,
    assets: Option<PathBuf>,
    /// Values given as flags, each with the index of its row in the table.
    flags: Vec<(usize, String)>,
    /// The flag of an earlier version, as an index into the renamed ones.
    renamed: Option<usize>,
}

impl Args for ServeArgs {
    fn augment_args(command: Command) -> Command {
        let module = Arg::new("module")
            .value_name("ssr.wasm|IMAGE.tar")
            .required(true)
            .help("The module to serve, built by `ssr build`, or an image archive, written by `ssr image`");
        let assets =
            Arg::new("assets").value_name("DIST").help("The directory of assets; an image has its own");
        let flags = TABLE.iter().map(|setting| {
            let default = if setting.default.is_empty() { "one per core" } else { setting.default };
            let help = format!("{} [env: {}] [default: {default}]", setting.help, setting.variable);
            Arg::new(setting.flag).long(setting.flag).value_name("VALUE").help(help)
        });
        // Accepted by the parser, so that the error can name the new flag.
        let renamed = RENAMED.iter().map(|renamed| {
            Arg::new(renamed.flag).long(renamed.flag).value_name("VALUE").num_args(0..=1).hide(true)
        });
        command.arg(module).arg(assets).args(flags).args(renamed)
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for ServeArgs {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let text = |name: &str| matches.get_one::<String>(name).cloned();
        let flags = TABLE.iter().enumerate().filter_map(|(row, setting)| Some((row, text(setting.flag)?)));
        Ok(Self {
            // clap has rejected a command line without it.
            module: text("module").unwrap_or_default(),
            assets: text("assets").map(PathBuf::from),
            flags: flags.collect(),
            renamed: RENAMED.iter().position(|renamed| {
                matches.value_source(renamed.flag) == Some(clap::parser::ValueSource::CommandLine)
            }),
        })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// Why nothing is served, for a person, and the process's exit code.
#[derive(Debug)]
pub struct Failure {
    message: String,
    /// As in sysexits.h.
    pub exit_code: u8,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Self {
        Self { message: error.to_string(), exit_code: error.exit_code() }
    }
}

impl From<SettingError> for Failure {
    fn from(error: SettingError) -> Self {
        ServeError::from(error).into()
    }
}

/// Serves until SIGTERM or Ctrl-C.
pub fn run(args: &ServeArgs) -> Result<(), Failure> {
    // Neither a setting nor a JavaScript string can hold what is not UTF-8.
    let mut env: Vec<(String, String)> = std::env::vars_os()
        .map(|(k, v)| (k.to_string_lossy().into_owned(), v.to_string_lossy().into_owned()))
        .filter(|(name, _)| !systemd::owns(name))
        .collect();
    if let Some(renamed) = args.renamed {
        return Err(RENAMED[renamed].flag_error().into());
    }
    let supervisor = systemd::supervisor()?;
    let image = ImageSite::open(&args.module, args.assets.as_deref())?;
    if let Some(image) = &image {
        image.add_env(&mut env);
    }
    let mut settings = Settings::from_env(&env)?;
    for (row, value) in &args.flags {
        let setting = &TABLE[*row];
        settings.set(setting, &format!("--{}", setting.flag), value)?;
    }
    let Some(image) = image else {
        let source = SiteSource {
            module: args.module.clone(),
            code: user_code::source(),
            assets: args.assets.clone(),
            env,
            // Of a person's own machine modules.toml may name any directory.
            files: ProgramFiles { given: Vec::new(), volumes_in: vec![everything()] },
        };
        return Ok(ssr_server::serve(source, &settings, supervisor)?);
    };
    log::set_max_level(settings.log_level);
    // The files are removed when it is dropped.
    let Some(Prepared { site, directory: _directory }) = image.unpack()? else {
        log::info!("stopped before the site was ready");
        return Ok(());
    };
    let root = Directory { host: site.root, guest: "/".to_owned(), read_only: false };
    let source = SiteSource {
        module: site.module,
        code: user_code::source(),
        assets: site.assets,
        env,
        files: ProgramFiles { given: vec![root], volumes_in: Vec::new() },
    };
    Ok(ssr_server::serve(source, &settings, supervisor)?)
}

fn everything() -> Directory {
    Directory { host: "/".into(), guest: "/".to_owned(), read_only: false }
}
