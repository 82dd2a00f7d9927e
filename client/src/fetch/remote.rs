//! The resources of one log, each parsed into the type that says it is unverified.

use std::time::Duration;

use cairn_tree::checkpoint::SignedCheckpoint;
use cairn_tree::size::LeafIndex;
use cairn_tree::tile::{BundleCoord, Entries, EntriesError, Tile, TileCoord, Width};

use super::error::FetchError;
use super::http::{Answer, Freshness, Request, Settings, Transport};
use super::said::Said;
use super::url::LogUrl;
use crate::bounds;

/// Which of a log's two heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum HeadKind {
    /// `checkpoint`: the newest that met the log's witness policy (C2SP tlog-tiles, "Checkpoints").
    Checkpoint,
    /// `head`: the newest that the log signed. Logs other than Cairn's have none.
    Head,
}

/// One log, asked over HTTP.
pub struct Remote {
    transport: Transport,
    url: LogUrl,
}

/// A bundle as it was served: well-formed, of the right number of entries, and otherwise unverified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServedBundle {
    coord: BundleCoord,
    /// Parses as a bundle of `coord`'s width.
    bytes: Vec<u8>,
}

impl HeadKind {
    /// The resource's name.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Checkpoint => "checkpoint",
            Self::Head => "head",
        }
    }
}

impl Remote {
    /// Sets the client up; nothing is asked yet.
    ///
    /// # Errors
    /// [`FetchError::SetUp`].
    pub fn new(url: LogUrl, settings: Settings) -> Result<Self, FetchError> {
        Ok(Self { transport: Transport::new(url.clone(), settings)?, url })
    }

    /// The same, saying this with each request.
    #[must_use]
    pub(super) fn saying(self, said: Said) -> Self {
        Self { transport: self.transport.saying(said), ..self }
    }

    /// The log's address.
    #[must_use]
    pub const fn url(&self) -> &LogUrl {
        &self.url
    }

    /// One of the log's heads.
    ///
    /// # Errors
    /// [`FetchError`] if it could not be had or is no checkpoint.
    pub async fn head(&self, kind: HeadKind, freshness: Freshness) -> Result<SignedCheckpoint, FetchError> {
        let answer = self.get(kind.path().to_owned(), "text/plain", bounds::NOTE_BYTES, freshness).await?;
        SignedCheckpoint::parse(&answer.body).map_err(|error| answer.malformed(error))
    }

    /// One tile. A partial tile that is gone is cut from the full one (C2SP tlog-tiles, "Partial Tiles").
    ///
    /// # Errors
    /// [`FetchError`] if it could not be had or has another length.
    pub async fn tile(&self, coord: TileCoord, freshness: Freshness) -> Result<Tile, FetchError> {
        let partial = self.whole_tile(coord, freshness).await;
        if coord.width().is_full() || !partial.as_ref().is_err_and(FetchError::is_absent) {
            return partial;
        }
        let Ok(full_coord) = coord.with_width(Width::FULL) else { return partial };
        match self.whole_tile(full_coord, freshness).await {
            Ok(full) => full.cut(coord.width()).map_or(partial, Ok),
            Err(error) if error.is_absent() => partial,
            Err(error) => Err(error),
        }
    }

    async fn whole_tile(&self, coord: TileCoord, freshness: Freshness) -> Result<Tile, FetchError> {
        let answer = self.get(coord.to_string(), "application/octet-stream", bounds::TILE_BYTES, freshness).await?;
        Tile::from_bytes(coord, &answer.body).map_err(|error| answer.malformed(error))
    }

    /// One entry bundle; a partial one that is gone is cut from the full one.
    ///
    /// # Errors
    /// [`FetchError`] if it could not be had or is not made of as many entries.
    pub async fn bundle(&self, coord: BundleCoord, freshness: Freshness) -> Result<ServedBundle, FetchError> {
        let partial = self.whole_bundle(coord, freshness).await;
        if coord.width().is_full() || !partial.as_ref().is_err_and(FetchError::is_absent) {
            return partial;
        }
        let Ok(full_coord) = coord.with_width(Width::FULL) else { return partial };
        match self.whole_bundle(full_coord, freshness).await {
            Ok(full) => Ok(full.cut(coord)),
            Err(error) if error.is_absent() => partial,
            Err(error) => Err(error),
        }
    }

    async fn whole_bundle(&self, coord: BundleCoord, freshness: Freshness) -> Result<ServedBundle, FetchError> {
        let answer = self.get(coord.to_string(), "application/octet-stream", bounds::BUNDLE_BYTES, freshness).await?;
        match Entries::parse_bundle(&answer.body, coord.width()) {
            Ok(_) => Ok(ServedBundle { coord, bytes: answer.body }),
            Err(error) => Err(answer.malformed(error)),
        }
    }

    /// One entry's bytes.
    ///
    /// # Errors
    /// [`FetchError`] if they could not be had.
    pub async fn entry(&self, index: LeafIndex) -> Result<Vec<u8>, FetchError> {
        let path = format!("entries/{index}");
        let answer = self.get(path, "application/octet-stream", bounds::ENTRY_BYTES, Freshness::AnyCache).await?;
        Ok(answer.body)
    }

    /// The bytes of a note under a path, asked for once and past caches.
    pub(crate) async fn note_once(&self, path: String) -> Result<Vec<u8>, FetchError> {
        let (accept, bound, freshness) = ("text/plain", bounds::NOTE_BYTES, Freshness::PastCaches);
        let request = Request { path, query: Vec::new(), accept, bound, freshness, upload: None };
        Ok(self.transport.ask_one_time(&request).await?.body)
    }

    async fn get(
        &self,
        path: String,
        accept: &'static str,
        bound: usize,
        freshness: Freshness,
    ) -> Result<Answer, FetchError> {
        self.ask(Request { path, query: Vec::new(), accept, bound, freshness, upload: None }).await
    }

    /// A request that is tried once; the error comes with the wait that the server asked for.
    pub(crate) async fn ask_telling(&self, request: Request) -> Result<Answer, (FetchError, Option<Duration>)> {
        self.transport.ask_once(&request).await
    }

    /// Any other request beneath the log's address.
    pub(crate) async fn ask(&self, request: Request) -> Result<Answer, FetchError> {
        self.transport.ask(&request).await
    }
}

impl ServedBundle {
    /// Which bundle it was served as.
    #[must_use]
    pub const fn coord(&self) -> BundleCoord {
        self.coord
    }

    /// The entries, unverified.
    ///
    /// # Errors
    /// Never, since the bytes have been parsed before.
    pub fn entries(&self) -> Result<Entries<'_>, EntriesError> {
        Entries::parse_bundle(&self.bytes, self.coord.width())
    }

    /// The first entries of a full bundle.
    fn cut(self, coord: BundleCoord) -> Self {
        let bytes = self.entries().ok().and_then(|all| all.first(coord.width())).map(|first| first.as_bytes().to_vec());
        match bytes {
            Some(bytes) => Self { coord, bytes },
            // A full bundle has entries for every width.
            None => self,
        }
    }
}
