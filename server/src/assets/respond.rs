//! The response for an asset: `http-serve` handles conditional requests and ranges; the
//! caching header depends on the file's path.

use std::fs;
use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::time::SystemTime;

use bytes::Bytes;
use futures_util::Stream;
use http::header::{self, HeaderMap, HeaderValue};
use http::{Request, Response, StatusCode};
use http_serve::{BoxError, ChunkedReadFile, Entity};

use super::directory::OpenError;
use super::index::Asset;
use super::negotiate::negotiate;
use super::ranges;
use super::variant::Variant;
use crate::body::{Body, boxed};

type File = ChunkedReadFile<Bytes, BoxError>;

/// A file with an entity tag made from its content.
struct AssetEntity {
    file: File,
    tag: HeaderValue,
}

impl AssetEntity {
    fn open(asset: &Asset, variant: &Variant) -> Result<Self, OpenError> {
        let (file, metadata) = variant.open()?;
        Self::new(asset, variant, file, &metadata)
    }

    /// A compressed sibling; `None` if it is older than the file, which was changed without
    /// it. Whatever else is the matter with it, there is the file itself.
    fn of_sibling(asset: &Asset, sibling: &Variant) -> Option<Self> {
        let (file, metadata) = sibling.open().ok()?;
        let is_stale = match (metadata.modified().ok(), asset.variants[0].modified()) {
            (Some(sibling), Some(file)) => sibling < file,
            _ => false,
        };
        if is_stale { None } else { Self::new(asset, sibling, file, &metadata).ok() }
    }

    fn new(
        asset: &Asset,
        variant: &Variant,
        file: fs::File,
        metadata: &fs::Metadata,
    ) -> Result<Self, OpenError> {
        let tag = variant.tag(&file, metadata)?;
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, asset.media_type.clone());
        if let Some(coding) = variant.coding {
            headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(coding));
        }
        Ok(Self { file: File::new_with_metadata(file, metadata, headers)?, tag })
    }
}

impl Entity for AssetEntity {
    type Error = BoxError;
    type Data = Bytes;

    fn len(&self) -> u64 {
        self.file.len()
    }

    fn get_range(
        &self,
        range: Range<u64>,
    ) -> Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>> + Send + Sync>> {
        self.file.get_range(range)
    }

    fn add_headers(&self, headers: &mut HeaderMap) {
        self.file.add_headers(headers);
    }

    fn etag(&self) -> Option<HeaderValue> {
        Some(self.tag.clone())
    }

    /// None: the files of an image layer bear times that say nothing about their age.
    fn last_modified(&self) -> Option<SystemTime> {
        None
    }
}

/// What became of an asset.
pub enum Sent {
    /// The response.
    Response(Response<Body>),
    /// There is no file any more.
    Gone,
    /// What is there must not be sent.
    Refused,
}

/// Answers `request` with `asset`. `immutable` says that the asset's name changes with its
/// content.
pub fn respond<B>(asset: &Asset, request: &Request<B>, immutable: bool) -> io::Result<Sent> {
    let variant = negotiate(asset, request.headers());
    let file = &asset.variants[0];
    let opened = tokio::task::block_in_place(|| {
        let sibling = variant.coding.and_then(|_| AssetEntity::of_sibling(asset, variant));
        sibling.map_or_else(|| AssetEntity::open(asset, file), Ok)
    });
    let entity = match opened {
        Ok(entity) => entity,
        Err(OpenError::System(error)) => return Err(error),
        Err(OpenError::Gone) => return Ok(Sent::Gone),
        Err(error) => {
            file.warn_once(&error);
            return Ok(Sent::Refused);
        }
    };
    let served = match ranges::resolved(request, entity.len()) {
        Some(resolved) => http_serve::serve(entity, &resolved),
        None => http_serve::serve(entity, request),
    };
    let mut response = served.map(boxed);
    // An error says nothing about the content, which may be there in a moment.
    let is_content = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    let caching = if immutable && is_content { "public, max-age=31536000, immutable" } else { "no-cache" };
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    if asset.variants.len() > 1 {
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    }
    Ok(Sent::Response(response))
}
