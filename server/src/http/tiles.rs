//! `GET tile/...`: tiles and entry bundles (C2SP tlog-tiles, "Merkle Tree" and "Log entries").
//!
//! What the head does not cover, or no writer of such paths would write, is not found. Bundles are compressed when the
//! reader asks for it; tiles are hashes, which do not compress.

use std::io::{self, Write as _};

use bytes::Bytes;
use cairn_tree::tile::TilePath;
use cairn_tree::wire::media;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;

use super::Ask;
use super::accept::{Coding, coding};
use super::payload::Answer;
use super::problem::Problem;
use super::reading::{Lasting, answer, varying};

/// Bundles below this gain nothing from compression.
const WORTH_COMPRESSING: usize = 512;
/// zstd's level: as fast as the network, and denser than gzip.
const ZSTD_LEVEL: i32 = 3;

/// A tile or an entry bundle.
#[utoipa::path(
    get, path = "/logs/{log}/tile/{tile}", tag = "Tiles",
    params(
        ("log" = String, Path, description = "The log's name"),
        ("tile" = String, Path, description = "`<L>/<N>[.p/<W>]` or `entries/<N>[.p/<W>]` as C2SP tlog-tiles writes them", example = "0/x001/234.p/5"),
    ),
    responses(
        (status = 200, description = "Hashes of a tile, or length-prefixed entries of a bundle", body = Vec<u8>, content_type = "application/octet-stream"),
        (status = 404, description = "No such log, or nothing of that tile yet", body = crate::http::docs::ProblemDocument, content_type = "application/problem+json"),
    )
)]
pub(crate) async fn tile(ask: &Ask<'_>) -> Result<Answer, Problem> {
    let log = ask.log()?;
    let path: TilePath = ask.target.item.parse().map_err(|_| Problem::not_found())?;
    let head = log.head();
    match path {
        TilePath::Tile(coord) => {
            let tile = log.tile(&head, coord)?.ok_or_else(Problem::not_found)?;
            Ok(answer(&log, Lasting::Immutable, media::OCTETS, tile))
        }
        TilePath::Entries(coord) => {
            let source = log.clone();
            let bundle = ask.read(move || source.bundle(&head, coord)).await?.ok_or_else(Problem::not_found)?;
            let coding = coding(&ask.parts.headers);
            let (bytes, name) = compressed(bundle, coding).await?;
            let mut answer = varying(answer(&log, Lasting::Immutable, media::OCTETS, bytes), "accept-encoding");
            if let Some(name) = name {
                answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(name));
            }
            Ok(answer)
        }
    }
}

/// The bytes in this coding, and its name if there is one; off the threads that answer others.
async fn compressed(bytes: Bytes, coding: Coding) -> Result<(Bytes, Option<&'static str>), Problem> {
    if coding == Coding::Identity || bytes.len() < WORTH_COMPRESSING {
        return Ok((bytes, None));
    }
    let encode = move || match coding {
        Coding::Gzip => gzip(&bytes).map(|packed| (packed, Some("gzip"))),
        Coding::Zstd => zstd::encode_all(&*bytes, ZSTD_LEVEL).map(|packed| (packed, Some("zstd"))),
        Coding::Identity => Ok((bytes.to_vec(), None)),
    };
    let encoded = tokio::task::spawn_blocking(encode).await.map_err(Problem::internal)?;
    encoded.map(|(bytes, name)| (bytes.into(), name)).map_err(Problem::internal)
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 2), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
