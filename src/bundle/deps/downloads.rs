//! The package managers' own download caches, under `DATA_DIR/cache`.
//!
//! npm's is shared by all projects, as long as no code of a project runs while
//! installing: npm verifies what it takes from there, but also believes notes
//! that lie beside. Where code may run, and with every other manager, a project
//! has caches to itself: it must not be able to slip another one a package. So
//! it has where its builds run as a user of their own, and there one more for
//! what others get, too, which its code has never met.

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
    let name = manager.as_str();
    let dir = match (owner, cell.tenant()) {
        (None, Some(tenant)) => data.download_cache(&format!("{name}-for-all"), Some(tenant)),
        (owner, _) => data.download_cache(name, owner),
    };
    lend_from(&dir, manager, cell)
}

/// Gives an installing cell the folder `dir` as the cache of its manager.
pub(super) fn lend_from(dir: &Path, manager: Manager, cell: &mut Cell) -> Result<()> {
    make_dir(dir)?;
    let guest = Path::new("/work/downloads").join(manager.as_str());
    cell.mount(dir, &guest, Access::ReadWrite);
    let inside = cell.inside(dir);
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
