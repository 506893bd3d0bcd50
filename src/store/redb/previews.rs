//! Writes of previews, and the listings they stand in.
//!
//! Each preview stands, by creation and id, in six listings: of all, of its
//! project, its user, its status, its platform, and of its status and platform
//! together. So every filter of the administration reads only what it shows;
//! a filter within one project or user passes over that one's other previews.

use redb::ReadableTable;

use super::codec::{self, Revised};
use super::errors::Halt;
use super::meta::LAST_ID;
use super::records::{RecordTables, fetch};
use crate::domain::JobId;
use crate::domain::preview::{Platform, Preview, PreviewStatus};
use crate::store::{Change, PreviewFilter, transition};

/// A listing: what it is by, and of what.
pub(super) type Scope = (u8, i64);

const ALL: Scope = (0, 0);

fn by_project(project: i64) -> Scope {
    (1, project)
}

fn by_user(user: i64) -> Scope {
    (2, user)
}

fn by_status(status: PreviewStatus) -> Scope {
    (3, status as i64)
}

fn by_platform(platform: Platform) -> Scope {
    (4, platform as i64)
}

fn by_status_and_platform(status: PreviewStatus, platform: Platform) -> Scope {
    (5, (status as i64) << 8 | platform as i64)
}

/// The keys in the index of the listings a preview stands in.
fn entries_of(preview: &Preview) -> [(u8, i64, i64, &str); 6] {
    [
        ALL,
        by_project(preview.project_id.0),
        by_user(preview.requested_by.0),
        by_status(preview.status),
        by_platform(preview.platform),
        by_status_and_platform(preview.status, preview.platform),
    ]
    .map(|(by, of)| (by, of, preview.created_at.as_millis(), preview.id.as_str()))
}

/// The narrowest listing that holds everything a filter admits.
pub(super) fn scope_for(filter: &PreviewFilter) -> Scope {
    match (filter.project, filter.user, filter.status, filter.platform) {
        (Some(project), ..) => by_project(project.0),
        (_, Some(user), ..) => by_user(user.0),
        (_, _, Some(status), Some(platform)) => by_status_and_platform(status, platform),
        (_, _, Some(status), None) => by_status(status),
        (_, _, None, Some(platform)) => by_platform(platform),
        (None, None, None, None) => ALL,
    }
}

impl RecordTables<'_> {
    pub(super) fn preview(&self, id: &str) -> Result<Option<Revised<Preview>>, Halt> {
        fetch(&self.previews, id)
    }

    pub(super) fn check_build_key_free(
        &self,
        preview: &Preview,
        changes: &[Change],
    ) -> Result<(), Halt> {
        let old = self.preview(preview.id.as_str())?.map(|row| row.value);
        if !transition::takes_build_key(old.as_ref(), preview) {
            return Ok(());
        }
        let key = preview.build_key.as_str();
        for entry in self
            .build_keys
            .range((key, i64::MIN, "")..=(key, i64::MAX, LAST_ID))?
        {
            let (entry, _) = entry?;
            let Some(row) = self.preview(entry.value().2)? else {
                continue;
            };
            if transition::stays(&row.value, preview, changes) {
                return Err(transition::key_is_built(&row.value.id).into());
            }
        }
        Ok(())
    }

    pub(super) fn check_branch_free(
        &self,
        preview: &Preview,
        changes: &[Change],
    ) -> Result<(), Halt> {
        let old = self.preview(preview.id.as_str())?.map(|row| row.value);
        if !transition::begins_on_branch(old.as_ref(), preview) {
            return Ok(());
        }
        let project = preview.project_id.0;
        for entry in self
            .active_previews
            .range((project, "")..=(project, LAST_ID))?
        {
            let (entry, _) = entry?;
            let Some(row) = self.preview(entry.value().1)? else {
                continue;
            };
            if transition::contends(&row.value, preview, changes) {
                return Err(transition::branch_is_built(&row.value.id).into());
            }
        }
        Ok(())
    }

    pub(super) fn put_preview(&mut self, preview: Preview) -> Result<(), Halt> {
        let old = self.preview(preview.id.as_str())?;
        let revision = old.as_ref().map_or(0, |old| old.revision) + 1;
        self.reindex_preview(old.as_ref().map(|old| &old.value), Some(&preview))?;
        let id = preview.id.clone();
        let row = codec::encode(&Revised {
            revision,
            value: preview,
        })?;
        self.previews.insert(id.as_str(), row.as_slice())?;
        Ok(())
    }

    pub(super) fn delete_preview(&mut self, id: &JobId) -> Result<(), Halt> {
        if let Some(row) = self.preview(id.as_str())? {
            self.reindex_preview(Some(&row.value), None)?;
            self.previews.remove(id.as_str())?;
        }
        Ok(())
    }

    /// Most changes of a preview leave most of its listings alone.
    fn reindex_preview(
        &mut self,
        old: Option<&Preview>,
        new: Option<&Preview>,
    ) -> Result<(), Halt> {
        let was: Vec<_> = old.map(entries_of).into_iter().flatten().collect();
        let is: Vec<_> = new.map(entries_of).into_iter().flatten().collect();
        for (by, of, created, id) in was.iter().filter(|entry| !is.contains(entry)) {
            self.preview_index.remove((*by, *of, *created, *id))?;
        }
        for (by, of, created, id) in is.iter().filter(|entry| !was.contains(entry)) {
            self.preview_index.insert((*by, *of, *created, *id), ())?;
        }
        if let Some(old) = old {
            let id = old.id.as_str();
            let key = (old.build_key.as_str(), old.created_at.as_millis(), id);
            self.build_keys.remove(key)?;
            self.active_previews.remove((old.project_id.0, id))?;
        }
        if let Some(new) = new {
            let id = new.id.as_str();
            let key = (new.build_key.as_str(), new.created_at.as_millis(), id);
            self.build_keys.insert(key, ())?;
            if !new.status.is_final() {
                self.active_previews.insert((new.project_id.0, id), ())?;
            }
        }
        Ok(())
    }
}
