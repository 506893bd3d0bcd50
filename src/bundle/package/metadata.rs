//! `metadata.json`: what a bundle holds, for manifests and for people.

use std::collections::HashMap;
use std::fs::File;
use std::path::Path;

use data_encoding::BASE64URL_NOPAD;
use serde::Serialize;

use super::{Facts, Stop};
use crate::bundle::product::{MAIN, Product};
use crate::clock::Timestamp;
use crate::disk;
use crate::domain::preview::Platform;
use crate::domain::project::ProjectKind;
use crate::domain::{JobId, ProjectId};
use crate::error::{Context, Result};

#[derive(Serialize)]
struct Metadata<'a> {
    job_id: &'a JobId,
    project_id: ProjectId,
    commit: &'a str,
    platform: Platform,
    kind: ProjectKind,
    built_at: Timestamp,
    token_version: u32,
    runtime_version: Option<&'a str>,
    sizes: Sizes,
    #[serde(skip_serializing_if = "Option::is_none")]
    launch_asset: Option<AssetFacts<'a>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    assets: Vec<AssetFacts<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    expo: Option<&'a serde_json::Value>,
}

/// Bytes before compression.
#[derive(Default, Serialize)]
pub(super) struct Sizes {
    /// `main.jsbundle`, or all of `dist/`.
    bundle: u64,
    assets: u64,
    files: u64,
    #[serde(skip)]
    pub(super) largest: u64,
}

/// What an Expo manifest says of a file.
#[derive(Serialize)]
struct AssetFacts<'a> {
    path: &'a str,
    key: &'a str,
    /// SHA-256 in unpadded base64url.
    hash: String,
    content_type: String,
    extension: &'a str,
}

/// The file's bytes.
pub(super) fn describe(
    product: &Product,
    facts: &Facts,
    sizes: Sizes,
    stop: &Stop,
) -> Result<Vec<u8>> {
    let what = "describe the bundle";
    let files: HashMap<&str, &Path> = product
        .entries
        .iter()
        .map(|entry| (entry.name.as_str(), entry.file.as_path()))
        .collect();
    let mut launch_asset = None;
    if let Some(main) = files.get(MAIN) {
        launch_asset = Some(AssetFacts {
            path: MAIN,
            key: "bundle",
            hash: BASE64URL_NOPAD.encode(&digest(main, stop)?),
            content_type: "application/javascript".to_owned(),
            extension: "bundle",
        });
    }
    let mut assets = Vec::new();
    for asset in &product.assets {
        let Some(file) = files.get(asset.name.as_str()) else {
            continue;
        };
        assets.push(AssetFacts {
            path: &asset.name,
            key: &asset.key,
            hash: BASE64URL_NOPAD.encode(&digest(file, stop)?),
            content_type: mime_guess::from_ext(&asset.extension)
                .first_or_octet_stream()
                .to_string(),
            extension: &asset.extension,
        });
    }
    assets.sort_by(|one, two| one.path.cmp(two.path));
    let mut json = serde_json::to_vec_pretty(&Metadata {
        job_id: &facts.job_id,
        project_id: facts.project_id,
        commit: &facts.commit,
        platform: facts.platform,
        kind: facts.kind,
        built_at: facts.built_at,
        token_version: facts.token_version,
        runtime_version: product.runtime_version.as_deref(),
        sizes,
        launch_asset,
        assets,
        expo: product.expo.as_ref(),
    })
    .or_internal(what)?;
    json.push(b'\n');
    Ok(json)
}

impl Sizes {
    /// As long as the files say they are.
    pub(super) fn of(product: &Product) -> Result<Self> {
        let mut sizes = Sizes::default();
        for entry in &product.entries {
            let length = entry
                .file
                .metadata()
                .or_internal("read the build's output")?
                .len();
            sizes.files += 1;
            sizes.largest = sizes.largest.max(length);
            let part = if entry.name.starts_with("assets/") {
                &mut sizes.assets
            } else {
                &mut sizes.bundle
            };
            *part = part.saturating_add(length);
        }
        Ok(sizes)
    }

    pub(super) fn together(&self) -> u64 {
        self.bundle.saturating_add(self.assets)
    }
}

fn digest(path: &Path, stop: &Stop) -> Result<Vec<u8>> {
    let what = "describe the bundle";
    let file = File::open(path).or_internal(what)?;
    stop.reading(what, file, disk::sha256_of)
}
