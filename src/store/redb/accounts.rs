//! Writes of accounts, sessions and API tokens, and of their indexes.

use redb::ReadableTable;

use super::codec::{self, Revised};
use super::errors::Halt;
use super::records::{RecordTables, fetch};
use crate::domain::user::{ApiToken, Role, Session, User};
use crate::domain::{ProjectId, UserId};
use crate::error::{Code, Error};

/// How names are compared: without regard to case.
pub(super) fn fold(name: &str) -> String {
    name.to_lowercase()
}

impl RecordTables<'_> {
    /// Refuses names that another account has, or another one of the same
    /// batch is about to have.
    pub(super) fn check_names_free<'a>(
        &self,
        user: &User,
        earlier: impl Iterator<Item = &'a User>,
    ) -> Result<(), Halt> {
        let (email, username) = (fold(&user.email), fold(&user.username));
        let holder = self.emails.get(email.as_str())?;
        let mut email_taken = holder.is_some_and(|h| h.value().0 != user.id.0);
        let holder = self.usernames.get(username.as_str())?;
        let mut username_taken = holder.is_some_and(|h| h.value() != user.id.0);
        for other in earlier {
            email_taken |= fold(&other.email) == email;
            username_taken |= fold(&other.username) == username;
        }
        if email_taken {
            let message = "an account with this e-mail address exists";
            return Err(Error::new(Code::EmailTaken, message).into());
        }
        if username_taken {
            let message = "an account with this username exists";
            return Err(Error::new(Code::UsernameTaken, message).into());
        }
        Ok(())
    }

    pub(super) fn put_user(&mut self, user: User) -> Result<(), Halt> {
        let old: Option<Revised<User>> = fetch(&self.users, user.id.0)?;
        let mut revision = 1;
        if let Some(old) = old {
            revision += old.revision;
            self.unindex_user(&old.value)?;
        }
        let (email, username) = (fold(&user.email), fold(&user.username));
        self.emails
            .insert(email.as_str(), (user.id.0, username.as_str()))?;
        self.usernames.insert(username.as_str(), user.id.0)?;
        if user.role == Role::Admin && !user.disabled {
            self.admins.insert(user.id.0, ())?;
        }
        let id = user.id.0;
        let row = codec::encode(&Revised {
            revision,
            value: user,
        })?;
        self.users.insert(id, row.as_slice())?;
        Ok(())
    }

    fn unindex_user(&mut self, user: &User) -> Result<(), Halt> {
        self.emails.remove(fold(&user.email).as_str())?;
        self.usernames.remove(fold(&user.username).as_str())?;
        self.admins.remove(user.id.0)?;
        Ok(())
    }

    pub(super) fn delete_user(&mut self, id: UserId) -> Result<(), Halt> {
        // What names an account may be there without it: it goes all the same.
        if let Some(user) = fetch::<_, Revised<User>>(&self.users, id.0)? {
            self.unindex_user(&user.value)?;
            self.users.remove(id.0)?;
        }
        let mut sessions = Vec::new();
        for entry in self.user_sessions.range((id.0, "")..)? {
            match entry?.0.value() {
                (user, session) if user == id.0 => sessions.push(session.to_owned()),
                _ => break,
            }
        }
        for session in sessions {
            self.delete_session(&session)?;
        }
        for token in second_keys(&self.user_tokens, id.0)? {
            self.delete_api_token(token)?;
        }
        for project in second_keys(&self.user_projects, id.0)? {
            self.delete_member(ProjectId(project), id)?;
        }
        Ok(())
    }

    pub(super) fn put_session(&mut self, session: &Session) -> Result<(), Halt> {
        self.delete_session(&session.id)?;
        let row = codec::encode(session)?;
        self.sessions.insert(session.id.as_str(), row.as_slice())?;
        self.user_sessions
            .insert((session.user_id.0, session.id.as_str()), ())?;
        Ok(())
    }

    pub(super) fn delete_session(&mut self, id: &str) -> Result<(), Halt> {
        if let Some(session) = fetch::<_, Session>(&self.sessions, id)? {
            self.sessions.remove(id)?;
            self.user_sessions.remove((session.user_id.0, id))?;
        }
        Ok(())
    }

    pub(super) fn put_api_token(&mut self, token: &ApiToken) -> Result<(), Halt> {
        self.delete_api_token(token.id)?;
        let row = codec::encode(token)?;
        self.api_tokens.insert(token.id, row.as_slice())?;
        self.token_digests.insert(token.digest.as_str(), token.id)?;
        self.user_tokens.insert((token.user_id.0, token.id), ())?;
        Ok(())
    }

    pub(super) fn delete_api_token(&mut self, id: i64) -> Result<(), Halt> {
        if let Some(token) = fetch::<_, ApiToken>(&self.api_tokens, id)? {
            self.api_tokens.remove(id)?;
            self.token_digests.remove(token.digest.as_str())?;
            self.user_tokens.remove((token.user_id.0, id))?;
        }
        Ok(())
    }
}

/// The second halves of the keys that begin with `first`.
pub(super) fn second_keys<V: redb::Value + 'static>(
    table: &impl ReadableTable<(i64, i64), V>,
    first: i64,
) -> Result<Vec<i64>, Halt> {
    table
        .range((first, i64::MIN)..=(first, i64::MAX))?
        .map(|entry| Ok(entry?.0.value().1))
        .collect()
}
