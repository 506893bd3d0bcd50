//! Writes of projects and memberships, and of who sees which project.

use redb::ReadableTable;

use super::accounts::second_keys;
use super::codec::{self, Revised};
use super::errors::Halt;
use super::records::{RecordTables, fetch};
use crate::domain::project::{Member, Project};
use crate::domain::{ProjectId, UserId};
use crate::error::{Code, Error};
use crate::store::Change;
use crate::store::batch::Slot;

impl RecordTables<'_> {
    /// Refuses a member of a project that is not there after the batch.
    pub(super) fn check_project_stays(
        &self,
        project: ProjectId,
        changes: &[Change],
    ) -> Result<(), Halt> {
        let change = changes
            .iter()
            .find(|change| change.slot() == Slot::Project(project));
        let stays = match change {
            Some(Change::Put(..)) => true,
            Some(Change::Delete(..)) => false,
            None => self.projects.get(project.0)?.is_some(),
        };
        if stays {
            Ok(())
        } else {
            let message = format!("there is no project {project}");
            Err(Error::new(Code::ProjectNotFound, message).into())
        }
    }

    fn project_row(&self, id: ProjectId) -> Result<Option<Revised<Project>>, Halt> {
        fetch(&self.projects, id.0)
    }

    pub(super) fn put_project(&mut self, project: Project) -> Result<(), Halt> {
        let (id, owner) = (project.id, project.owner_id);
        let old = self.project_row(id)?;
        let revision = old.as_ref().map_or(0, |old| old.revision) + 1;
        let row = codec::encode(&Revised {
            revision,
            value: project,
        })?;
        self.projects.insert(id.0, row.as_slice())?;
        if let Some(old) = old {
            self.list_project(id, old.value.owner_id)?;
        }
        self.list_project(id, owner)
    }

    pub(super) fn delete_project(&mut self, id: ProjectId) -> Result<(), Halt> {
        let Some(project) = self.project_row(id)? else {
            return Ok(());
        };
        self.projects.remove(id.0)?;
        for user in second_keys(&self.members, id.0)? {
            self.delete_member(id, UserId(user))?;
        }
        self.list_project(id, project.value.owner_id)
    }

    pub(super) fn put_member(&mut self, member: &Member) -> Result<(), Halt> {
        let row = codec::encode(member)?;
        let key = (member.project_id.0, member.user_id.0);
        self.members.insert(key, row.as_slice())?;
        self.list_project(member.project_id, member.user_id)
    }

    pub(super) fn delete_member(&mut self, project: ProjectId, user: UserId) -> Result<(), Halt> {
        self.members.remove((project.0, user.0))?;
        self.list_project(project, user)
    }

    /// Makes the list of a user's projects true for one project and user: it
    /// holds what they own or are a member of.
    fn list_project(&mut self, project: ProjectId, user: UserId) -> Result<(), Halt> {
        let owns = self
            .project_row(project)?
            .is_some_and(|row| row.value.owner_id == user);
        let key = (user.0, project.0);
        if owns || self.members.get((project.0, user.0))?.is_some() {
            self.user_projects.insert(key, ())?;
        } else {
            self.user_projects.remove(key)?;
        }
        Ok(())
    }
}
