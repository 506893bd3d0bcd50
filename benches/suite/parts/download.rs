//! Handing a bundle out: the whole zip, and many small ranges of it, beside
//! nginx with the same file. Both write an access log.

use std::os::unix::fs::PermissionsExt;

use hivesync::clock::{Random, SystemEntropy};

use super::{ROUNDS, median};
use crate::report::{Better, Figure, Reach, Report};
use crate::world::Hive;
use crate::wrk::Load;
use crate::{Result, engines};

/// Bytes of the file that makes the bundle large, of a kind that zip cannot
/// make smaller.
const LARGE: usize = 8 << 20;
/// Bytes of a small range: what a player or an unzipper asks for.
const RANGE: usize = 16 << 10;

pub(crate) async fn run(report: &mut Report) -> Result<()> {
    let mut hive = Hive::start(&[]).await?;
    hive.log_in().await?;
    let project = hive.project("download").await?;
    hive.upload(project, site()?).await?;
    let accepted = hive.ask(project, "web").await?;
    hive.built(&accepted).await?;
    let path = accepted.download_path();
    let url = format!("http://{}{path}", hive.address);
    let bundle = reqwest::get(url).await?.error_for_status()?.bytes().await?;

    let root = tempfile::tempdir()?;
    std::fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755))?;
    std::fs::write(root.path().join("bundle.zip"), &bundle)?;
    let nginx = engines::nginx(root.path()).await?;
    let script = root.path().join("ranges.lua");
    std::fs::write(&script, ranges(bundle.len()))?;

    let whole = |address, path: &str| Load::new(address, path).connections(8);
    let parts = |address, path: &str| Load::new(address, path).script(script.clone());
    let [
        mut our_bytes,
        mut their_bytes,
        mut our_parts,
        mut their_parts,
    ] = [const { Vec::new() }; 4];
    for _ in 0..ROUNDS {
        our_bytes.push(whole(hive.address, &path).run().await?.megabytes);
        their_bytes.push(whole(nginx.address, "/bundle.zip").run().await?.megabytes);
        our_parts.push(parts(hive.address, &path).run().await?.requests);
        their_parts.push(parts(nginx.address, "/bundle.zip").run().await?.requests);
    }
    nginx.stop().await?;
    hive.stop().await?;
    let line = |work: &str, unit, ours, theirs| {
        Figure::new(work, unit, Better::Higher, median(ours))
            .beside("nginx, sendfile", median(theirs))
            .reach(Reach::Times(0.9))
    };
    let size = bundle.len() >> 20;
    report.add(line(
        &format!("bundle download, {size} MB"),
        "MB/s",
        our_bytes,
        their_bytes,
    ));
    report.add(line(
        "ranges of 16 KB of it",
        "requests/s",
        our_parts,
        their_parts,
    ));
    Ok(())
}

/// A site of one page and one large file, as a `.tar.gz`.
fn site() -> Result<Vec<u8>> {
    let mut large = vec![0; LARGE];
    SystemEntropy::new().fill(&mut large);
    let gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    let mut tar = tar::Builder::new(gzip);
    for (name, bytes) in [
        ("index.html", b"<h1>bench</h1>".as_slice()),
        ("large.bin", &large),
    ] {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, bytes)?;
    }
    Ok(tar.into_inner()?.finish()?)
}

/// A script of wrk that asks for ranges anywhere in `size` bytes.
fn ranges(size: usize) -> String {
    let last = size - RANGE;
    format!(
        "math.randomseed(7)\n\
         request = function()\n\
         \x20 local from = math.random(0, {last})\n\
         \x20 local range = 'bytes=' .. from .. '-' .. (from + {RANGE} - 1)\n\
         \x20 return wrk.format('GET', nil, {{['Range'] = range}})\n\
         end\n"
    )
}
