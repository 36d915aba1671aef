//! Images whose module is a layer of its own, such as runwasi's and the CNCF's Wasm
//! artifacts. containerd does not unpack such a layer: its bytes are in containerd's
//! content store and not in the container's root.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use oci_spec::image::{Descriptor, Digest, ImageIndex, ImageManifest, MediaType};
use prost::Message;
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;

/// containerd's content store, below its root directory.
const CONTENT: &str = "io.containerd.content.v1.content/blobs";

/// How long containerd may take to answer.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Media types of such layers: by the CNCF's guidance, and by runwasi before it.
const MODULE_MEDIA_TYPES: [&str; 4] = [
    "application/wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.bytecodealliance.wasm.component.layer.v0+wasm",
];

/// Platforms of Wasm images in an index: operating system and architecture.
const PLATFORMS: [(&str, &str); 4] =
    [("wasi", "wasm"), ("wasi", "wasm32"), ("wasip1", "wasm"), ("wasip2", "wasm")];

/// containerd's images.
#[derive(Debug, Clone)]
pub struct Images {
    /// The path of containerd's gRPC socket.
    pub address: String,
    /// The namespace of images and containers.
    pub namespace: String,
}

impl Images {
    /// The file with the module of a container's image; `None` if the image has no such
    /// layer. `root` is containerd's root directory.
    pub async fn module(&self, container: &str, root: &Path) -> Result<Option<PathBuf>> {
        let channel = self.connect().await?;
        let request = GetContainerRequest { id: container.to_owned() };
        let answer: GetContainerResponse =
            self.call(&channel, "/containerd.services.containers.v1.Containers/Get", request).await?;
        let name = answer.container.map(|container| container.image).unwrap_or_default();
        if name.is_empty() {
            return Ok(None);
        }
        let request = GetImageRequest { name: name.clone() };
        let answer: GetImageResponse =
            self.call(&channel, "/containerd.services.images.v1.Images/Get", request).await?;
        let target = answer.image.and_then(|image| image.target).context("the image has no manifest")?;
        let store = Store(root.join(CONTENT));
        store.module(&target.digest).with_context(|| format!("the image '{name}'"))
    }

    async fn connect(&self) -> Result<Channel> {
        let address = format!("unix://{}", self.address.trim_start_matches("unix://"));
        let endpoint = Endpoint::from_shared(address.clone())?.connect_timeout(TIMEOUT).timeout(TIMEOUT);
        endpoint.connect().await.with_context(|| format!("cannot reach containerd at '{address}'"))
    }

    async fn call<Q: Message + 'static, A: Message + Default + 'static>(
        &self,
        channel: &Channel,
        method: &'static str,
        request: Q,
    ) -> Result<A> {
        let mut request = tonic::Request::new(request);
        let namespace = self.namespace.parse().context("the namespace")?;
        request.metadata_mut().insert("containerd-namespace", namespace);
        let mut client = Grpc::new(channel.clone());
        client.ready().await?;
        let method = PathAndQuery::from_static(method);
        let answer = client.unary(request, method, ProstCodec::default()).await;
        answer
            .map(tonic::Response::into_inner)
            .with_context(|| "containerd does not know the image".to_owned())
    }
}

/// containerd's content store.
struct Store(PathBuf);

impl Store {
    fn path(&self, digest: &str) -> Result<PathBuf> {
        // Validates it: it becomes part of a path.
        let digest: Digest = digest.parse().with_context(|| format!("the digest '{digest}'"))?;
        Ok(self.0.join(digest.algorithm().as_ref()).join(digest.digest()))
    }

    fn read(&self, digest: &str) -> Result<String> {
        let path = self.path(digest)?;
        fs::read_to_string(&path).with_context(|| format!("cannot read '{}'", path.display()))
    }

    /// The module of the image whose manifest, or index, has this digest.
    fn module(&self, digest: &str) -> Result<Option<PathBuf>> {
        let text = self.read(digest)?;
        let text = match ImageIndex::from_reader(text.as_bytes()) {
            Ok(index) => match of_platform(index.manifests()) {
                Some(manifest) => self.read(manifest.digest().as_ref())?,
                None => return Ok(None),
            },
            Err(_) => text,
        };
        let manifest = ImageManifest::from_reader(text.as_bytes()).context("its manifest")?;
        let mut modules = manifest.layers().iter().filter(|layer| is_module(layer.media_type()));
        match (modules.next(), modules.count()) {
            (None, _) => Ok(None),
            (Some(layer), 0) => self.path(layer.digest().as_ref()).map(Some),
            (Some(_), more) => bail!("it has {} modules as layers, but a site is a single module", more + 1),
        }
    }
}

fn of_platform(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let fits = |manifest: &&Descriptor| {
        let platform = manifest.platform().as_ref();
        platform.is_some_and(|platform| {
            let platform = (platform.os().to_string(), platform.architecture().to_string());
            PLATFORMS
                .iter()
                .any(|(os, architecture)| platform == ((*os).to_owned(), (*architecture).to_owned()))
        })
    };
    match manifests {
        [only] => Some(only),
        _ => manifests.iter().find(fits),
    }
}

fn is_module(media_type: &MediaType) -> bool {
    MODULE_MEDIA_TYPES.contains(&media_type.to_string().as_str())
}

// containerd's messages (api/services/{containers,images}/v1) with the fields that are
// read here.

#[derive(Clone, PartialEq, Message)]
struct GetContainerRequest {
    #[prost(string, tag = "1")]
    id: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetContainerResponse {
    #[prost(message, optional, tag = "1")]
    container: Option<ContainerRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct ContainerRecord {
    #[prost(string, tag = "3")]
    image: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetImageRequest {
    #[prost(string, tag = "1")]
    name: String,
}

#[derive(Clone, PartialEq, Message)]
struct GetImageResponse {
    #[prost(message, optional, tag = "1")]
    image: Option<ImageRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct ImageRecord {
    #[prost(message, optional, tag = "3")]
    target: Option<TargetRecord>,
}

#[derive(Clone, PartialEq, Message)]
struct TargetRecord {
    #[prost(string, tag = "2")]
    digest: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn manifest(types: &[&str]) -> Result<Option<PathBuf>> {
        let directory = tempfile::tempdir().unwrap();
        let store = Store(directory.path().to_owned());
        let layers: Vec<_> = types
            .iter()
            .map(|kind| format!(r#"{{"mediaType":"{kind}","digest":"{DIGEST}","size":1}}"#))
            .collect();
        let config =
            format!(r#"{{"mediaType":"application/vnd.wasm.config.v0+json","digest":"{DIGEST}","size":1}}"#);
        let text = format!(r#"{{"schemaVersion":2,"config":{config},"layers":[{}]}}"#, layers.join(","));
        fs::create_dir(directory.path().join("sha256")).unwrap();
        let name = "b".repeat(64);
        fs::write(directory.path().join("sha256").join(&name), text).unwrap();
        let module = store.module(&format!("sha256:{name}"))?;
        Ok(module.map(|path| path.strip_prefix(directory.path()).unwrap().to_owned()))
    }

    #[test]
    fn the_module_is_the_layer_with_a_wasm_media_type() {
        const TAR: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
        let blob = Path::new("sha256").join("a".repeat(64));
        for kind in MODULE_MEDIA_TYPES {
            assert_eq!(manifest(&[kind, TAR]).unwrap(), Some(blob.clone()), "{kind}");
        }
        assert_eq!(manifest(&[TAR]).unwrap(), None);
        let two = manifest(&["application/wasm", "application/wasm"]).unwrap_err();
        assert!(two.to_string().contains("2 modules"), "{two}");
    }

    #[test]
    fn digests_cannot_lead_out_of_the_store() {
        let store = Store(PathBuf::from("/store"));
        assert!(store.path("sha256:../../../etc/passwd").is_err());
        assert!(store.path("../../etc/passwd").is_err());
    }
}
