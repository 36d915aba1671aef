//! `ssr cache add`: compiles sites before they are started.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result, bail};
use ssr_code_cache::cache::CodeCache;
use ssr_code_cache::provide::{self, AddError, CompileRequest};
use ssr_server::settings::{RENAMED, Setting, Settings, TABLE};
use ssr_wasm::target::Target;

use super::list::{Size, plain, short};
use super::place::{Place, advise};
use crate::image_archive::modules::{self, Image, Module};
use crate::progress::Progress;

#[derive(Debug, clap::Args)]
pub struct AddArgs {
    /// Image archives, as written by `ssr image` and `docker save`, or modules
    #[arg(value_name = "IMAGE.tar|ssr.wasm", required = true)]
    files: Vec<PathBuf>,
    /// Compile for these machines instead of this one: amd64, arm64 or arm; may be repeated
    #[arg(long = "target", value_name = "TARGET", value_parser = super::target, value_delimiter = ',')]
    targets: Vec<Target>,
    /// The containers' SSR_RENDER_MEMORY_LIMIT if the image does not set it; code for arm depends on it
    #[arg(long, value_name = "SIZE")]
    render_memory_limit: Option<String>,
    /// The former name of --render-memory-limit
    #[arg(long, value_name = "SIZE", num_args = 0..=1, hide = true)]
    render_memory: Option<Option<String>>,
}

/// Compiles the sites in the files.
pub fn add(place: &Place, args: &AddArgs) -> Result<()> {
    if args.render_memory.is_some() {
        let renamed = RENAMED.iter().find(|renamed| renamed.flag == "render-memory");
        return Err(renamed.context("there is no such renamed setting")?.flag_error().into());
    }
    // All files are read before the first module is compiled.
    let images = args.files.iter().map(|file| {
        let image = modules::read(file)?;
        let limits = memory_limits(&image, file, args.render_memory_limit.as_deref())?;
        Ok((image.modules, limits))
    });
    let images: Vec<(Vec<Module>, Vec<usize>)> = images.collect::<Result<_>>()?;
    let cache = place.open_for_adding()?;
    let targets = if args.targets.is_empty() { &[Target::Host] } else { &args.targets[..] };
    for (modules, limits) in &images {
        for module in modules {
            for target in targets {
                let which = if target.is_32_bit() { &limits[..] } else { &limits[..1] };
                for limit in which {
                    add_one(&cache, module, *limit, *target)?;
                }
            }
        }
    }
    Ok(())
}

fn add_one(cache: &CodeCache, module: &Module, render_memory_limit: usize, target: Target) -> Result<()> {
    let started = Instant::now();
    let mut progress = None;
    let name = plain(&module.name);
    let request = CompileRequest { module: &module.bytes, name: &module.name, render_memory_limit };
    let code = provide::add(cache, &request, target, || {
        progress.insert(Progress::start()).stage(&format!("compiling {name} for {}", target.name()));
    });
    drop(progress);
    let code = match code {
        Ok(code) => code,
        Err(AddError::Cache(error)) => return Err(advise(error)),
        Err(error) => bail!("{name}: {error}"),
    };
    for warning in &code.warnings {
        eprintln!("warning: {warning}");
    }
    let how = match code.compiled {
        true => format!("compiled in {:.1} s", started.elapsed().as_secs_f64()),
        false => "already there".to_owned(),
    };
    let size = Size(code.file.size().unwrap_or_default());
    let digest = short(&code.metadata.key.module);
    eprintln!(
        "{name} ({digest}) for {}: {size}, {how}, in '{}'",
        code.metadata.target,
        cache.dir().display()
    );
    Ok(())
}

/// The memory limits of renders under which an image's sites run, in bytes, which 32-bit
/// code depends on. There are several if an archive holds several images; never empty.
fn memory_limits(image: &Image, file: &Path, given: Option<&str>) -> Result<Vec<usize>> {
    let row: Option<&Setting> = TABLE.iter().find(|setting| setting.flag == "render-memory-limit");
    let row = row.context("there is no setting render-memory-limit")?;
    let with = |name: &str, value: &str| {
        let mut settings = Settings::default();
        settings.set(row, name, value)?;
        anyhow::Ok(settings.limits.render_memory_limit)
    };
    if let Some(value) = given {
        return Ok(vec![with("--render-memory-limit", value)?]);
    }
    let name = format!("{} in '{}'", row.variable, file.display());
    match image.render_memory_limits.is_empty() {
        true => Ok(vec![with(&name, row.default)?]),
        false => image.render_memory_limits.iter().map(|value| with(&name, value)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_limit_comes_from_the_flag_or_the_image_or_is_the_default() {
        let mut image = Image::default();
        let of = |image: &Image, given| {
            let limits = memory_limits(image, Path::new("site.tar"), given)?;
            anyhow::Ok(limits.iter().map(|limit| limit >> 20).collect::<Vec<_>>())
        };
        assert_eq!(of(&image, None).unwrap(), [128]);
        image.render_memory_limits.extend(["32MiB".to_owned(), "64MiB".to_owned()]);
        assert_eq!(of(&image, None).unwrap(), [32, 64]);
        assert_eq!(of(&image, Some("16MiB")).unwrap(), [16]);
        let error = of(&image, Some("much")).unwrap_err().to_string();
        assert!(error.starts_with("--render-memory-limit: invalid value 'much'"), "{error}");
        image.render_memory_limits.insert("little".to_owned());
        let error = of(&image, None).unwrap_err().to_string();
        assert!(
            error.starts_with("SSR_RENDER_MEMORY_LIMIT in 'site.tar': invalid value 'little'"),
            "{error}"
        );
    }
}
