//! `ssr push`: an image archive to a registry.

mod credentials;
mod explain;

use std::fs::File;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context as _, Result, anyhow, bail};
use bytes::Bytes;
use futures_util::stream::{self, Stream};
use oci_client::client::{Client, ClientConfig, ClientProtocol};
use oci_client::errors::OciDistributionError;
use oci_client::{Reference, RegistryOperation};

use self::credentials::Credentials;
use self::explain::Destination;
use crate::cache::list::Size;
use crate::image::ImageName;
use crate::image_archive::FileKind;
use crate::image_archive::registry_image::Image;
use crate::progress::ByteProgress;

/// Bytes that are sent at a time.
const CHUNK: usize = 64 << 10;

/// Arguments of `ssr push`.
#[derive(clap::Args)]
pub struct PushArgs {
    /// The image archive, written by `ssr image` or `docker save`
    #[arg(value_name = "IMAGE.tar")]
    archive: PathBuf,
    /// Where to: a registry, a repository and a tag, which is `latest` if none is given. Without a registry it is
    /// Docker Hub
    #[arg(value_name = "REGISTRY/NAME[:TAG]")]
    name: String,
    /// Speak HTTP with the registry, without encryption: passwords, too
    #[arg(long)]
    plain_http: bool,
}

/// Sends the image and prints its name with the digest.
pub fn run(args: &PushArgs) -> Result<()> {
    let name = ImageName::parse("", &args.name)?;
    let shown = args.archive.display();
    let cannot = || format!("cannot push '{shown}'");
    let mut file = File::open(&args.archive).with_context(cannot)?;
    if FileKind::of(&mut file).with_context(cannot)? != FileKind::Archive {
        bail!("cannot push '{shown}': it is no image archive; write one with `ssr image`");
    }
    let image = Image::read(file).with_context(cannot)?;
    let credentials = Credentials::find(name.reference())?;
    let digest = image.digest();
    eprintln!("{name} ({}, {} blobs, {digest})", image.platform, image.blobs.len());
    let destination =
        Destination { name: name.reference(), credentials: &credentials, plain_http: args.plain_http };
    // One connection after another needs one thread.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let sent = runtime.context("cannot start the async runtime")?.block_on(push(image, &destination));
    sent.map_err(|error| match error.downcast::<OciDistributionError>() {
        Ok(error) => anyhow!(explain::explain(&error, &destination)),
        Err(other) => other,
    })?;
    println!("{}/{}@{digest}", name.reference().registry(), name.reference().repository());
    Ok(())
}

async fn push(mut image: Image, to: &Destination<'_>) -> Result<()> {
    // The one implementation that is linked; it is an error if another was chosen before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let protocol = if to.plain_http { ClientProtocol::Http } else { ClientProtocol::Https };
    let client = Client::try_from(ClientConfig {
        protocol,
        // One request for a blob, of any size: every registry takes that.
        use_monolithic_push: true,
        user_agent: concat!("ssr/", env!("CARGO_PKG_VERSION")),
        ..ClientConfig::default()
    })?;
    client.auth(to.name, &to.credentials.auth(), RegistryOperation::Push).await?;
    for index in 0..image.blobs.len() {
        let (digest, size) = (image.blobs[index].digest.clone(), image.blobs[index].size);
        let label = format!("{} ({})", &digest[..digest.len().min("sha256:".len() + 12)], Size(size));
        if is_there(&client, to.name, &digest).await? {
            eprintln!("{label} is there already");
            continue;
        }
        let progress = ByteProgress::start(&label, size);
        let bytes = chunks(image.open(index)?, progress);
        client.push_blob_stream(to.name, bytes, &digest, Some(size)).await?;
    }
    let media_type = image.media_type.parse().context("the manifest's media type")?;
    client.push_manifest_raw(to.name, image.manifest, media_type).await?;
    Ok(())
}

/// Whether the registry has a blob. One that does not say so is sent it.
async fn is_there(client: &Client, name: &Reference, digest: &str) -> Result<bool> {
    match client.blob_exists(name, digest).await {
        Err(OciDistributionError::RequestError(error)) if error.status().is_some() => Ok(false),
        known => Ok(known?),
    }
}

/// A blob in parts, as they are read.
fn chunks(
    from: Box<dyn Read + Send>,
    progress: ByteProgress,
) -> impl Stream<Item = Result<Bytes, OciDistributionError>> + Send {
    stream::unfold(Some((from, progress)), |state| async {
        let (mut from, progress) = state?;
        let mut chunk = vec![0; CHUNK];
        match from.read(&mut chunk) {
            Ok(0) => None,
            Ok(length) => {
                chunk.truncate(length);
                progress.advance(length as u64);
                Some((Ok(chunk.into()), Some((from, progress))))
            }
            Err(error) => Some((Err(error.into()), None)),
        }
    })
}
