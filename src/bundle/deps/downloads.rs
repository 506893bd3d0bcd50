//! The package managers' own download caches, under `DATA_DIR/cache`.
//!
//! Shared by all projects as long as no code of a project runs while
//! installing. Where it may (install scripts, manager plugins), the project has
//! caches to itself: it must not be able to slip another one a package. So it
//! has where its builds run as a user of their own.

use std::path::Path;

use super::Manager;
use crate::bundle::sandbox::{Access, Cell};
use crate::bundle::workbench::make_dir;
use crate::data_dir::DataDir;
use crate::domain::ProjectId;
use crate::error::Result;

/// Gives an installing cell the cache of its manager: that of `owner`, or the
/// shared one.
pub(super) fn lend(
    data: &DataDir,
    manager: Manager,
    owner: Option<ProjectId>,
    cell: &mut Cell,
) -> Result<()> {
    let dir = data.download_cache(manager.as_str(), owner.or(cell.tenant()));
    make_dir(&dir)?;
    let guest = Path::new("/work/downloads").join(manager.as_str());
    cell.mount(&dir, &guest, Access::ReadWrite);
    let inside = cell.inside(&dir);
    // Copies, never links: what is installed must not share a file with the
    // cache that it came from.
    match manager {
        Manager::Npm => cell.env("npm_config_cache", inside),
        Manager::Pnpm => {
            cell.env("npm_config_store_dir", inside);
            cell.env("npm_config_package_import_method", "copy");
        }
        Manager::YarnClassic | Manager::YarnBerry => {
            cell.env("YARN_CACHE_FOLDER", &inside);
            cell.env("YARN_GLOBAL_FOLDER", &inside);
            cell.env("YARN_ENABLE_GLOBAL_CACHE", "true");
        }
        Manager::Bun => cell.env("BUN_INSTALL_CACHE_DIR", inside),
    }
    Ok(())
}
