//! `GET tile/...`: tiles and entry bundles (C2SP tlog-tiles, "Merkle Tree" and "Log entries").
//!
//! What the head does not cover, or no writer of such paths would write, is not found. Bundles are compressed when the
//! reader asks for it; tiles are hashes, which do not compress.

use std::io::{self, Write as _};
use std::sync::Arc;

use bytes::Bytes;
use cairn_listen::Answer;
use cairn_tree::tile::TilePath;
use cairn_tree::wire::media;
use http::HeaderValue;
use http::header::CONTENT_ENCODING;

use super::Ask;
use super::accept::{Coding, coding};
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
            let coding = coding(&ask.parts.headers);
            // Compressing one bundle costs as much as answering thousands of requests, so that only few are at once;
            // the others go out as they are. The permit goes with the work, which ends no earlier when its asker is gone.
            let wanted = coding != Coding::Identity;
            let permit = wanted.then(|| Arc::clone(&ask.app.compressions).try_acquire_owned().ok()).flatten();
            let read = move || {
                let bundle = source.bundle(&head, coord)?.ok_or_else(Problem::not_found)?;
                let packed =
                    if permit.is_some() { compressed(&bundle, coding).map_err(Problem::internal)? } else { None };
                Ok::<_, Problem>(packed.map_or((bundle, None), |(bytes, name)| (bytes, Some(name))))
            };
            let (bytes, name) = ask.read_large(read).await?;
            let mut answer = varying(answer(&log, Lasting::Immutable, media::OCTETS, bytes), "accept-encoding");
            if let Some(name) = name {
                answer.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static(name));
            }
            Ok(answer)
        }
    }
}

/// The bytes in this coding, with its name; `None` if they are to stay as they are.
fn compressed(bytes: &[u8], coding: Coding) -> io::Result<Option<(Bytes, &'static str)>> {
    if bytes.len() < WORTH_COMPRESSING {
        return Ok(None);
    }
    Ok(match coding {
        Coding::Gzip => Some((gzip(bytes)?.into(), "gzip")),
        Coding::Zstd => Some((zstd::encode_all(bytes, ZSTD_LEVEL)?.into(), "zstd")),
        Coding::Identity => None,
    })
}

fn gzip(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::with_capacity(bytes.len() / 2), flate2::Compression::fast());
    encoder.write_all(bytes)?;
    encoder.finish()
}
