//! The bundle's bytes.

use std::time::Duration;

use super::*;
use crate::clock::SystemEntropy;

fn facts() -> Facts {
    Facts {
        job_id: JobId::generate(&SystemEntropy::new()),
        project_id: ProjectId(7),
        commit: "c".repeat(40),
        platform: Platform::Ios,
        kind: ProjectKind::Expo,
        built_at: Timestamp::from_secs(1_700_000_000),
        token_version: 1,
    }
}

/// A product whose files were written in the order of `names`.
fn product(dir: &Path, names: &[&str]) -> Product {
    let mut product = Product::default();
    for name in names {
        let file = dir.join(name.replace('/', "+"));
        let bytes = if name.contains(".png") {
            // What cannot be compressed: a hash chain.
            let mut bytes = name.as_bytes().to_vec();
            while bytes.len() < 4096 {
                let next = ring::digest::digest(&SHA256, &bytes);
                bytes.extend_from_slice(next.as_ref());
            }
            bytes
        } else {
            name.repeat(500).into_bytes()
        };
        fs::write(&file, bytes).unwrap();
        product.push(*name, file);
    }
    product
}

fn packed(product: &Product, facts: &Facts) -> (Vec<u8>, Packed) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::write(&log, "a log\n").unwrap();
    let target = dir.path().join("bundle.zip");
    let stop = Stop {
        limit: &Limit::starting_now(Duration::from_mins(1), "A_LIMIT"),
        cancel: &CancellationToken::new(),
    };
    let packed = pack(product, facts, &log, &target, &stop).unwrap();
    assert!(!dir.path().join("bundle.part").exists());
    (fs::read(&target).unwrap(), packed)
}

#[test]
fn the_same_product_gives_the_same_bytes_in_whatever_order_it_was_made() {
    let (one, two) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let facts = facts();
    let forth = product(one.path(), &[MAIN, "assets/a.png", "assets/b.png"]);
    let back = product(two.path(), &["assets/b.png", "assets/a.png", MAIN]);
    let (first, packed_first) = packed(&forth, &facts);
    let (second, packed_second) = packed(&back, &facts);
    assert!(first == second, "the bytes differ");
    assert_eq!(packed_first.sha256, packed_second.sha256);
    assert_eq!(packed_first.size, first.len() as u64);
}

#[test]
fn names_are_sorted_times_fixed_and_only_what_pays_is_compressed() {
    let dir = tempfile::tempdir().unwrap();
    let product = product(dir.path(), &[MAIN, "assets/z.png", "assets/a.txt"]);
    let (bytes, _) = packed(&product, &facts());
    let mut zip = zip::ZipArchive::new(io::Cursor::new(bytes)).unwrap();
    let names: Vec<_> = (0..zip.len())
        .map(|index| zip.by_index(index).unwrap().name().unwrap().into_owned())
        .collect();
    assert_eq!(
        names,
        [
            "assets/a.txt",
            "assets/z.png",
            "build.log",
            MAIN,
            "metadata.json"
        ]
    );
    for index in 0..zip.len() {
        let file = zip.by_index(index).unwrap();
        assert_eq!(file.last_modified(), Some(DateTime::default()));
        assert_eq!(file.unix_mode().map(|mode| mode & 0o777), Some(0o644));
    }
    let method = |zip: &mut zip::ZipArchive<_>, name| zip.by_name(name).unwrap().compression();
    assert_eq!(method(&mut zip, "assets/z.png"), CompressionMethod::Stored);
    assert_eq!(method(&mut zip, MAIN), CompressionMethod::Deflated);
}

#[test]
fn the_metadata_says_what_the_bundle_holds() {
    let dir = tempfile::tempdir().unwrap();
    let mut product = product(dir.path(), &[MAIN, "assets/a.png"]);
    product.runtime_version = Some("1.0.0".to_owned());
    product.assets.push(super::super::product::Asset {
        name: "assets/a.png".to_owned(),
        key: "a".to_owned(),
        extension: "png".to_owned(),
    });
    let facts = facts();
    let (bytes, _) = packed(&product, &facts);
    let mut zip = zip::ZipArchive::new(io::Cursor::new(bytes)).unwrap();
    let json: serde_json::Value =
        serde_json::from_reader(zip.by_name("metadata.json").unwrap()).unwrap();
    assert_eq!(json["job_id"], facts.job_id.as_str());
    assert_eq!(json["platform"], "ios");
    assert_eq!(json["kind"], "expo");
    assert_eq!(json["built_at"], "2023-11-14T22:13:20.000Z");
    assert_eq!(json["token_version"], 1);
    assert_eq!(json["runtime_version"], "1.0.0");
    assert_eq!(json["sizes"]["files"], 2);
    assert_eq!(json["assets"][0]["content_type"], "image/png");
    assert_eq!(
        json["launch_asset"]["hash"].as_str().map(str::len),
        Some(43)
    );
}

#[test]
fn an_exceeded_limit_and_a_cancel_stop_the_packing() {
    let dir = tempfile::tempdir().unwrap();
    let product = product(dir.path(), &[MAIN]);
    let log = dir.path().join("log");
    fs::write(&log, "").unwrap();
    let target = dir.path().join("bundle.zip");
    let cancel = CancellationToken::new();
    let over = Limit::starting_now(Duration::ZERO, "A_LIMIT");
    let stop = Stop {
        limit: &over,
        cancel: &cancel,
    };
    let error = pack(&product, &facts(), &log, &target, &stop).unwrap_err();
    assert_eq!(error.code, Code::PreviewTimeout);
    cancel.cancel();
    let error = pack(&product, &facts(), &log, &target, &stop).unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
    assert!(!target.exists());
}
