//! The rows of templates and broadcasts.

use rusqlite::{Connection, ErrorCode, OptionalExtension as _, Row, named_params};

use super::{SharedStore, notifications, users, writer::Work};
use crate::{
    BrandId, Content, NewNotification, Recipient, StoreError, User, UserId, UserKey,
    sending::{
        Audience, AudienceKind, Broadcast, BroadcastId, BroadcastState, NewBroadcast, StoredTemplate,
        TemplateName,
    },
    time::Timestamp,
};

const COLUMNS: &str = "id, brand_id, audience, payload, due_at, state, sent, last_user, created_at";
const LISTED: &str = "listed";
/// How many users one commit of a broadcast serves, so that single notifications come in between.
const CHUNK: u32 = 200;

impl SharedStore {
    /// The templates of a brand, by name.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn templates(&self, brand: BrandId) -> Result<Vec<StoredTemplate>, StoreError> {
        self.read(move |connection| {
            let rows = connection
                .prepare_cached(
                    "SELECT name, body, updated_at FROM templates WHERE brand_id = ?1 ORDER BY name",
                )?
                .query_map([brand], |row| {
                    let name: String = row.get(0)?;
                    Ok((name, row.get(1)?, row.get(2)?))
                })?
                .collect::<rusqlite::Result<Vec<_>>>()?;
            let known = |(name, body, updated_at): (String, _, _)| {
                TemplateName::parse(&name).map(|name| StoredTemplate { name, body, updated_at })
            };
            Ok(rows.into_iter().filter_map(known).collect())
        })
        .await
    }

    /// The first of these templates that there is.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn template(
        &self,
        brand: BrandId,
        names: Vec<TemplateName>,
    ) -> Result<Option<StoredTemplate>, StoreError> {
        self.read(move |connection| {
            let mut statement = connection
                .prepare_cached("SELECT body, updated_at FROM templates WHERE brand_id = ?1 AND name = ?2")?;
            for name in names {
                let found = statement
                    .query_row((brand, name.to_string()), |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                if let Some((body, updated_at)) = found {
                    return Ok(Some(StoredTemplate { name, body, updated_at }));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Keeps a template in the place of what had its name.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn put_template(&self, brand: BrandId, template: StoredTemplate) -> Result<(), StoreError> {
        self.write_long(template.body.len(), move |work| {
            let StoredTemplate { name, body, updated_at } = template;
            work.connection
                .prepare_cached(
                    "INSERT INTO templates (brand_id, name, body, updated_at) VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (brand_id, name) DO UPDATE SET body = ?3, updated_at = ?4",
                )?
                .execute((brand, name.to_string(), body, updated_at))?;
            Ok(())
        })
        .await
    }

    /// Forgets a template; false if there is none.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn delete_template(&self, brand: BrandId, name: TemplateName) -> Result<bool, StoreError> {
        self.write(move |work| {
            let deleted = work
                .connection
                .prepare_cached("DELETE FROM templates WHERE brand_id = ?1 AND name = ?2")?
                .execute((brand, name.to_string()))?;
            Ok(deleted == 1)
        })
        .await
    }

    /// Keeps a broadcast for its time, unless it is known by its key: then that one, as it is.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn add_broadcast(&self, new: NewBroadcast, now: Timestamp) -> Result<Broadcast, StoreError> {
        self.write_long(new.size(), move |work| add(work.connection, new, now)).await
    }

    /// A broadcast of the brand.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn broadcast(&self, brand: BrandId, id: BroadcastId) -> Result<Option<Broadcast>, StoreError> {
        self.read(move |connection| by_id(connection, brand, id)).await
    }

    /// The broadcast that its sender calls so.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn broadcast_called(
        &self,
        brand: BrandId,
        key: String,
    ) -> Result<Option<Broadcast>, StoreError> {
        self.read(move |connection| by_sender_key(connection, brand, &key)).await
    }

    /// The broadcasts of a brand, newest first, older than `before`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub async fn broadcasts(
        &self,
        brand: BrandId,
        before: Option<BroadcastId>,
        limit: u32,
    ) -> Result<Vec<Broadcast>, StoreError> {
        self.read(move |connection| {
            connection
                .prepare_cached(&format!(
                    "SELECT {COLUMNS} FROM broadcasts WHERE brand_id = ?1 AND (?2 IS NULL OR id < ?2)
                     ORDER BY id DESC LIMIT ?3"
                ))?
                .query_map((brand, before, limit), read)?
                .collect()
        })
        .await
    }

    /// Stops a broadcast that is not done; nothing, if there is none of this number.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn cancel_broadcast(
        &self,
        brand: BrandId,
        id: BroadcastId,
    ) -> Result<Option<Broadcast>, StoreError> {
        self.write(move |work| {
            let cancelled = work
                .connection
                .prepare_cached(
                    "UPDATE broadcasts SET state = 'cancelled'
                     WHERE id = ?1 AND brand_id = ?2 AND state IN ('scheduled', 'running')",
                )?
                .execute((id, brand))?;
            if cancelled == 1 {
                forget_list(work.connection, id)?;
            }
            by_id(work.connection, brand, id)
        })
        .await
    }

    /// Sends the next chunk of a broadcast that is due; false if none is. The one that has been sent to fewest goes
    /// first, so that a large one keeps no other waiting. `say` makes what a user gets of the broadcast's payload; a
    /// user for whom it makes nothing, or what cannot be stored, is passed over.
    ///
    /// # Errors
    /// If it could not be stored.
    pub async fn advance_broadcast<F>(&self, now: Timestamp, say: F) -> Result<bool, StoreError>
    where
        F: Fn(&str, &User) -> Option<Content> + Send + 'static,
    {
        if !self.read(move |connection| Ok(due(connection, now)?.is_some())).await? {
            return Ok(false);
        }
        self.write(move |work| advance(work, now, say)).await
    }
}

fn add(connection: &Connection, new: NewBroadcast, now: Timestamp) -> rusqlite::Result<Broadcast> {
    let NewBroadcast { brand, audience, payload, due_at, key } = new;
    if let Some(key) = &key
        && let Some(same) = by_sender_key(connection, brand, key)?
    {
        return Ok(same);
    }
    let word = match &audience {
        Audience::All => "all".to_owned(),
        Audience::Tag(tag) => format!("tag:{tag}"),
        Audience::Users(_) => LISTED.to_owned(),
    };
    connection
        .prepare_cached(
            "INSERT INTO broadcasts (brand_id, audience, payload, due_at, state, key, created_at)
             VALUES (?1, ?2, ?3, ?4, 'scheduled', ?5, ?6)",
        )?
        .execute((brand, word, payload, due_at, key, now))?;
    let id = connection.last_insert_rowid();
    if let Audience::Users(external_ids) = audience {
        for external_id in external_ids {
            let user = users::find_or_add(connection, brand, &external_id, now)?;
            connection
                .prepare_cached(
                    "INSERT OR IGNORE INTO broadcast_users (broadcast_id, user_id) VALUES (?1, ?2)",
                )?
                .execute((id, user.user.get()))?;
        }
    }
    known(connection, brand, id)
}

fn due(connection: &Connection, now: Timestamp) -> rusqlite::Result<Option<Broadcast>> {
    connection
        .prepare_cached(&format!(
            "SELECT {COLUMNS} FROM broadcasts WHERE state IN ('scheduled', 'running') AND due_at <= ?1
             ORDER BY sent, due_at LIMIT 1"
        ))?
        .query_row([now], read)
        .optional()
}

fn advance(
    work: &mut Work<'_>,
    now: Timestamp,
    say: impl Fn(&str, &User) -> Option<Content>,
) -> rusqlite::Result<bool> {
    let Some(broadcast) = due(work.connection, now)? else { return Ok(false) };
    let users = next_users(work.connection, &broadcast)?;
    let mut sent = 0;
    for id in &users {
        let key = UserKey { brand: broadcast.brand, user: *id };
        match work.attempt(|work| send(work, key, |user| say(&broadcast.payload, user), now)) {
            Ok(is_sent) => sent += u32::from(is_sent),
            // One user must not keep it from all others for ever.
            Err(error) if is_of_its_row(&error) && !work.connection.is_autocommit() => {
                tracing::error!(broadcast = broadcast.id, user = %id, %error, "a user is left out of a broadcast");
            }
            Err(error) => return Err(error),
        }
    }
    let state = if users.len() < CHUNK as usize { BroadcastState::Done } else { BroadcastState::Running };
    work.connection
        .prepare_cached(
            "UPDATE broadcasts SET state = :state, sent = sent + :sent, last_user = coalesce(:last, last_user)
             WHERE id = :id",
        )?
        .execute(named_params! {
            ":id": broadcast.id,
            ":state": state.word(),
            ":sent": sent,
            ":last": users.last(),
        })?;
    if state == BroadcastState::Done {
        forget_list(work.connection, broadcast.id)?;
    }
    Ok(true)
}

/// Sends to one user; false if there is nothing to be said, or nobody.
fn send(
    work: &mut Work<'_>,
    key: UserKey,
    say: impl FnOnce(&User) -> Option<Content>,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let Some(user) = users::by_key(work.connection, key)? else { return Ok(false) };
    let Some(content) = say(&user) else { return Ok(false) };
    let recipient = Recipient::User(key);
    notifications::add(work, NewNotification { recipient, content, source_key: None }, now)?;
    Ok(true)
}

/// Whether it is what is read or written that is wrong, not the store: trying again would be in vain.
fn is_of_its_row(error: &rusqlite::Error) -> bool {
    use ErrorCode::{ConstraintViolation, TooBig, TypeMismatch};
    // An error without a code is about a value of a row.
    error.sqlite_error_code().is_none_or(|code| matches!(code, ConstraintViolation | TooBig | TypeMismatch))
}

/// Forgets who was listed: nobody else gets it.
fn forget_list(connection: &Connection, id: BroadcastId) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM broadcast_users WHERE broadcast_id = ?1")?.execute([id])?;
    Ok(())
}

fn next_users(connection: &Connection, broadcast: &Broadcast) -> rusqlite::Result<Vec<UserId>> {
    let after = broadcast.last_user.map_or(0, UserId::get);
    let (sql, which) = match &broadcast.audience {
        AudienceKind::All => (
            "SELECT id FROM users WHERE brand_id = ?1 AND id > ?3 AND ?2 = '' ORDER BY id LIMIT ?4",
            String::new(),
        ),
        AudienceKind::Tag(tag) => (
            "SELECT user_id FROM user_tags WHERE brand_id = ?1 AND tag = ?2 AND user_id > ?3
             ORDER BY user_id LIMIT ?4",
            tag.clone(),
        ),
        AudienceKind::Listed => (
            "SELECT user_id FROM broadcast_users WHERE broadcast_id = CAST(?2 AS INTEGER) AND user_id > ?3
                 AND ?1 > 0
             ORDER BY user_id LIMIT ?4",
            broadcast.id.to_string(),
        ),
    };
    connection
        .prepare_cached(sql)?
        .query_map((broadcast.brand, which, after, CHUNK), |row| row.get(0))?
        .collect()
}

fn by_id(connection: &Connection, brand: BrandId, id: BroadcastId) -> rusqlite::Result<Option<Broadcast>> {
    known(connection, brand, id).optional()
}

fn by_sender_key(connection: &Connection, brand: BrandId, key: &str) -> rusqlite::Result<Option<Broadcast>> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM broadcasts WHERE brand_id = ?1 AND key = ?2"))?
        .query_row((brand, key), read)
        .optional()
}

/// The broadcast of this number; it is an error if there is none.
fn known(connection: &Connection, brand: BrandId, id: BroadcastId) -> rusqlite::Result<Broadcast> {
    connection
        .prepare_cached(&format!("SELECT {COLUMNS} FROM broadcasts WHERE id = ?1 AND brand_id = ?2"))?
        .query_row((id, brand), read)
}

fn read(row: &Row<'_>) -> rusqlite::Result<Broadcast> {
    let (audience, state): (String, String) = (row.get(2)?, row.get(5)?);
    let last_user: i64 = row.get(7)?;
    Ok(Broadcast {
        id: row.get(0)?,
        brand: row.get(1)?,
        audience: match audience.strip_prefix("tag:") {
            Some(tag) => AudienceKind::Tag(tag.to_owned()),
            None if audience == LISTED => AudienceKind::Listed,
            None => AudienceKind::All,
        },
        payload: row.get(3)?,
        due_at: row.get(4)?,
        state: BroadcastState::of_word(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        sent: row.get::<_, i64>(6)?.unsigned_abs(),
        last_user: UserId::new(last_user),
        created_at: row.get(8)?,
    })
}
