//! The package managers' own download caches, under `DATA_DIR/cache`.
//!
//! Shared by all projects as long as no code of a project runs while
//! installing. Where it may (install scripts, manager plugins), the project has
//! caches to itself: it must not be able to slip another one a package.

use std::path::Path;

use crate::bundle::sandbox::{Access, Cell};
use crate::bundle::workbench::make_dir;
use crate::data_dir::DataDir;
use crate::domain::ProjectId;
use crate::error::Result;

/// Gives an installing cell the caches: those of `owner`, or the shared ones.
pub(super) fn lend(data: &DataDir, owner: Option<ProjectId>, cell: &mut Cell) -> Result<()> {
    for (name, variables) in [
        ("npm", &["npm_config_cache"][..]),
        ("pnpm", &["npm_config_store_dir"]),
        ("yarn", &["YARN_CACHE_FOLDER", "YARN_GLOBAL_FOLDER"]),
        ("bun", &["BUN_INSTALL_CACHE_DIR"]),
    ] {
        let dir = data.download_cache(name, owner);
        make_dir(&dir)?;
        let guest = Path::new("/work/downloads").join(name);
        cell.mount(&dir, &guest, Access::ReadWrite);
        for variable in variables {
            cell.env(variable, cell.inside(&dir));
        }
    }
    // Copies, never links: what is installed must not share a file with the
    // cache that it came from.
    cell.env("npm_config_package_import_method", "copy");
    cell.env("YARN_ENABLE_GLOBAL_CACHE", "true");
    Ok(())
}
