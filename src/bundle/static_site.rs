//! Static projects: an `index.html` and what lies beside it. Nothing runs.

use super::detect::Plan;
use super::product::{DIST, Product};
use crate::error::{Code, Error, Result};

pub fn bundle(plan: &Plan) -> Result<Product> {
    let folder = plan.static_folder().ok_or_else(|| {
        let looked = plan.output_dir.as_ref().map_or_else(
            || match plan.manifest {
                Some(_) => "the folder itself and public".to_owned(),
                None => "the folder itself, public, dist and docs".to_owned(),
            },
            |dir| format!("`{}`", dir.display()),
        );
        Error::new(
            Code::InvalidProjectStructure,
            format!(
                "no index.html was found in {}: looked in {looked}; set `output_dir` in the \
                 project's settings to the folder that has it",
                plan.shown_root()
            ),
        )
    })?;
    let mut product = Product::default();
    product.push_folder(&plan.tree, &folder, DIST, is_private)?;
    if plan.manifest.is_some() && folder == plan.root {
        product
            .entries
            .retain(|entry| !FOR_PACKAGE_MANAGERS.contains(&entry.name.as_str()));
    }
    Ok(product)
}

/// What lies beside a site for package managers, and is none of its files.
const FOR_PACKAGE_MANAGERS: [&str; 8] = [
    "dist/package.json",
    "dist/package-lock.json",
    "dist/npm-shrinkwrap.json",
    "dist/pnpm-lock.yaml",
    "dist/pnpm-workspace.yaml",
    "dist/yarn.lock",
    "dist/bun.lock",
    "dist/bun.lockb",
];

/// What is for the project's own use: hidden files (`.env`, `.git`) but for
/// `.well-known`, and our own configuration.
fn is_private(name: &str) -> bool {
    (name.starts_with('.') && name != ".well-known")
        || name == "node_modules"
        || name == super::detect::CONFIG_FILE
}
