//! The bundle's bytes.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use ring::digest::SHA256;
use tokio_util::sync::CancellationToken;
use zip::{CompressionMethod, DateTime};

use super::*;
use crate::blobs::{EmptyShelf, PartName};
use crate::bundle::bounds::tests::bounds;
use crate::bundle::product::{Asset, MAIN};
use crate::bundle::stop::Limit;
use crate::clock::SystemEntropy;

/// What one bundle was made of, for the next.
struct Earlier(HashMap<PartName, Part>);

impl Earlier {
    fn of(packed: &Packed) -> Self {
        let named = packed.parts.iter();
        Self(named.filter_map(|p| Some((p.name?, p.clone()))).collect())
    }
}

impl Shelf for Earlier {
    fn find(&self, name: &PartName) -> Option<Part> {
        self.0.get(name).cloned()
    }
}

fn facts() -> Facts {
    Facts {
        job_id: JobId::generate(&SystemEntropy::new(), Timestamp::default()),
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
    packed_with(product, facts, &EmptyShelf)
}

fn packed_with(product: &Product, facts: &Facts, shelf: &dyn Shelf) -> (Vec<u8>, Packed) {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("log");
    fs::write(&log, "a log\n").unwrap();
    let stop = Stop {
        limit: Limit::starting_now(Duration::from_mins(1), "A_LIMIT"),
        cancel: CancellationToken::new(),
    };
    let scratch = dir.path().join("parts");
    let target = Target {
        shelf,
        scratch: &scratch,
        bounds: &bounds(dir.path(), u64::MAX, u64::MAX),
    };
    let packed = pack(product, facts, &log, &target, &stop).unwrap();
    let mut bytes = Vec::new();
    packed.bytes().reader().read_to_end(&mut bytes).unwrap();
    let sha256 = ring::digest::digest(&SHA256, &bytes);
    assert_eq!(packed.sha256, HEXLOWER.encode(sha256.as_ref()));
    assert_eq!(packed.size, bytes.len() as u64);
    (bytes, packed)
}

/// Like minified JavaScript of that many bytes.
fn script(length: usize) -> String {
    let mut script = String::new();
    for n in 0_u32.. {
        if script.len() >= length {
            break;
        }
        let (a, b) = (n.wrapping_mul(2_654_435_761), n.wrapping_mul(40_503) >> 7);
        let module = format!("__d(function(g,r,i,a,m,e){{r(d[{b}]);x{a:x}()}},{n},[]);\n");
        script.push_str(&module);
    }
    script.truncate(length);
    script
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
}

#[test]
fn what_was_packed_before_changes_no_byte() {
    let dir = tempfile::tempdir().unwrap();
    let product = product(dir.path(), &["assets/a.png", "assets/b.txt", MAIN, "x.js"]);
    let main = dir.path().join(MAIN);
    fs::write(&main, script(700_000)).unwrap();
    let (_, first) = packed(&product, &facts());
    // The same again, an edit in the middle, and a file cut short.
    let edited = script(700_000).replacen("x9e3779b1()", "edited()", 1);
    assert_ne!(edited, script(700_000));
    let facts = facts();
    for (content, most) in [
        (script(700_000), 4_000),
        (edited, 60_000),
        (script(650_000), 60_000),
        (String::new(), 4_000),
    ] {
        fs::write(&main, &content).unwrap();
        let (whole, _) = packed(&product, &facts);
        let (shared, packed) = packed_with(&product, &facts, &Earlier::of(&first));
        assert!(whole == shared, "what lay on the shelf shows");
        let known = |part: &&Part| {
            let same = |other: &Part| Arc::ptr_eq(&part.extent.file, &other.extent.file);
            !first.parts.iter().any(same)
        };
        let fresh: u64 = packed
            .parts
            .iter()
            .filter(known)
            .map(|p| p.extent.len())
            .sum();
        assert!(fresh < most, "{fresh} of {} bytes are new", packed.size);
    }
}

#[test]
fn every_reader_of_zips_reads_it() {
    let dir = tempfile::tempdir().unwrap();
    let mut product = product(dir.path(), &["assets/a.png", "assets/ü.txt", MAIN]);
    fs::write(dir.path().join(MAIN), script(1_000_000)).unwrap();
    fs::write(dir.path().join("empty"), "").unwrap();
    product.push("assets/empty", dir.path().join("empty"));
    let (bytes, _) = packed(&product, &facts());
    let zip = dir.path().join("bundle.zip");
    fs::write(&zip, &bytes).unwrap();

    let mut ours = zip::ZipArchive::new(io::Cursor::new(bytes)).unwrap();
    for entry in &product.entries {
        let mut found = Vec::new();
        let mut file = ours.by_name(&entry.name).unwrap();
        file.read_to_end(&mut found).unwrap();
        assert!(found == fs::read(&entry.file).unwrap(), "{}", entry.name);
    }
    // Others are stricter than we are, each in its own way.
    let python = "import sys, zipfile; z = zipfile.ZipFile(sys.argv[1]); \
                  assert z.testzip() is None; print(len(z.namelist()), 'assets/ü.txt' in z.namelist())";
    for (program, arguments, words) in [
        ("unzip", vec!["-t"], "No errors detected"),
        ("python3", vec!["-X", "utf8", "-c", python], "6 True"),
    ] {
        let output = std::process::Command::new(program)
            .args(arguments)
            .arg(&zip)
            .output()
            .unwrap_or_else(|e| panic!("{program} must be installed (.ci/setup does it): {e}"));
        let told = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && told.contains(words),
            "{program}: {told}"
        );
    }
}

#[test]
fn more_files_than_16_bits_count() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "x").unwrap();
    let mut product = Product::default();
    for n in 0..66_000 {
        product.push(format!("dist/{n}"), file.clone());
    }
    let (bytes, _) = packed(&product, &facts());
    let mut zip = zip::ZipArchive::new(io::Cursor::new(bytes)).unwrap();
    assert_eq!(zip.len(), 66_002);
    let mut text = String::new();
    let mut last = zip.by_name("dist/65999").unwrap();
    last.read_to_string(&mut text).unwrap();
    assert_eq!(text, "x");
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
    product.assets.push(Asset {
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
    let scratch = dir.path().join("parts");
    let cancel = CancellationToken::new();
    let over = Limit::starting_now(Duration::ZERO, "A_LIMIT");
    let stop = Stop {
        limit: over,
        cancel: cancel.clone(),
    };
    let target = Target {
        shelf: &EmptyShelf,
        scratch: &scratch,
        bounds: &bounds(dir.path(), u64::MAX, u64::MAX),
    };
    let error = pack(&product, &facts(), &log, &target, &stop).unwrap_err();
    assert_eq!(error.code, Code::PreviewTimeout);
    cancel.cancel();
    let error = pack(&product, &facts(), &log, &target, &stop).unwrap_err();
    assert_eq!(error.code, Code::Cancelled);
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let product = product(dir.path(), &[MAIN, "assets/a.png"]);
    // Holes: they take nothing of the disk until they are copied.
    let main = File::options().write(true).open(dir.path().join(MAIN));
    main.unwrap().set_len(16 << 20).unwrap();
    let log = dir.path().join("log");
    fs::write(&log, "").unwrap();
    let scratch = dir.path().join("parts");
    for (file, disk, variable) in [
        ((16 << 20) - 1, 64 << 20, "BUILD_FILE_MB"),
        (16 << 20, 16 << 20, "BUILD_DISK_MB"),
    ] {
        let target = Target {
            shelf: &EmptyShelf,
            scratch: &scratch,
            bounds: &bounds(dir.path(), file, disk),
        };
        let stop = Stop {
            limit: Limit::starting_now(Duration::from_mins(1), "A_LIMIT"),
            cancel: CancellationToken::new(),
        };
        let error = pack(&product, &facts(), &log, &target, &stop).unwrap_err();
        assert_eq!(error.code, Code::PreviewBuildFailed);
        assert!(error.message.contains(variable), "{}", error.message);
        assert!(!scratch.exists());
    }
}
