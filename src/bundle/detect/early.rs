//! What two files of a commit tell of its build before it is checked out.

use std::path::{Path, PathBuf};

use super::config_file::Merged;
use super::{Manifest, Plan, with_unknown};
use crate::bundle::tree;
use crate::domain::preview::Platform;
use crate::domain::project::{ProjectConfig, ProjectKind};
use crate::error::Result;

/// A project as its settings and its [`super::CONFIG_FILE`] describe it.
pub struct Early(Merged);

impl Early {
    /// # Errors
    /// `INVALID_PROJECT_STRUCTURE` when the file is not what it should be.
    pub fn of(config_file: Option<&[u8]>, settings: &ProjectConfig) -> Result<Self> {
        Merged::with(config_file, settings).map(Self)
    }

    /// Where the app's `package.json` lies in the tree; `None` where that is no
    /// place in a tree, which the build says better.
    #[must_use]
    pub fn manifest(&self) -> Option<PathBuf> {
        let root = self.0.config.root.as_deref().unwrap_or_default();
        Some(tree::relative(root)?.join("package.json"))
    }

    /// Refuses what cannot come to anything. Where these files do not say what
    /// kind of project it is, nothing is refused.
    ///
    /// # Errors
    /// `UNSUPPORTED_PLATFORM`; `INVALID_PROJECT_STRUCTURE` when the manifest is
    /// no JSON object.
    pub fn judge(&self, manifest: Option<&[u8]>, platform: Platform) -> Result<()> {
        let Merged {
            config, unknown, ..
        } = &self.0;
        let judged = || {
            let manifest = manifest
                .map(|bytes| Manifest::parse(bytes, Path::new("package.json")))
                .transpose()?;
            let mut plan = Plan {
                kind: ProjectKind::Static,
                platform,
                tree: PathBuf::new(),
                root: PathBuf::new(),
                manifest,
                entry_file: None,
                build_script: config.build_script.clone(),
                output_dir: None,
                install_scripts: false,
                remarks: Vec::new(),
            };
            let Some(kind) = config.kind.or_else(|| plan.kind_of_manifest()) else {
                return Ok(());
            };
            plan.kind = kind;
            plan.check_platform()
        };
        judged().map_err(|error| with_unknown(error, unknown))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Code;

    fn judged(config_file: &str, manifest: &str, platform: Platform) -> Result<()> {
        let early = Early::of(Some(config_file.as_bytes()), &ProjectConfig::default())?;
        early.judge(Some(manifest.as_bytes()), platform)
    }

    #[test]
    fn what_cannot_be_built_for_the_platform_is_refused() {
        let expo = r#"{"dependencies": {"expo": "1", "react-dom": "1"}}"#;
        let web = r#"{"scripts": {"build": "x"}}"#;
        assert!(judged("", expo, Platform::Ios).is_ok());
        let error = judged("", expo, Platform::Web).unwrap_err();
        assert_eq!(error.code, Code::UnsupportedPlatform);
        assert!(
            error.message.contains("lacks react-native-web"),
            "{}",
            error.message
        );
        assert!(judged("", web, Platform::Web).is_ok());
        assert!(judged("", web, Platform::Android).is_err());
        assert!(judged("kind = 'expo'", web, Platform::Android).is_ok());
        let error = judged("knd = 'expo'", web, Platform::Android).unwrap_err();
        assert!(
            error.message.contains("did you mean `kind`?"),
            "{}",
            error.message
        );
    }

    #[test]
    fn what_the_files_do_not_say_is_left_to_the_build() {
        assert!(judged("", "{}", Platform::Ios).is_ok());
        let early = Early::of(None, &ProjectConfig::default()).unwrap();
        assert!(early.judge(None, Platform::Ios).is_ok());
        assert_eq!(early.manifest().unwrap(), Path::new("package.json"));
        let early = Early::of(Some(b"root = 'a/b'"), &ProjectConfig::default()).unwrap();
        assert_eq!(early.manifest().unwrap(), Path::new("a/b/package.json"));
    }

    #[test]
    fn a_broken_file_is_refused_with_its_line() {
        let error = judged("kind = 'web'\n\n[build\n", "{}", Platform::Web).unwrap_err();
        assert_eq!(error.code, Code::InvalidProjectStructure);
        assert!(error.message.contains("line 3"), "{}", error.message);
    }
}
