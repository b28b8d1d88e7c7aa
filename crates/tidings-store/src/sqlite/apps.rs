//! The apps' rows.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension as _, Row, TransactionBehavior, ffi, named_params};
use serde_json::Value;
use tidings_protocol::app::AppSecret;

use super::Store;
use crate::{AppSettings, StoreError, StoredApp, settings::SettingsError};

const COLUMNS: &str = "SELECT id, key, secret, previous_secret, settings, created_at FROM apps";
const INSERT: &str = "INSERT INTO apps (id, key, secret, previous_secret, settings, created_at)
    SELECT :id, :key, :secret, :previous_secret, :settings, :created_at";

impl Store {
    /// All apps, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be read.
    pub fn apps(&self) -> Result<Vec<StoredApp>, StoreError> {
        let rows = || -> rusqlite::Result<Vec<AppRow>> {
            let mut statement = self.connection.prepare(&format!("{COLUMNS} ORDER BY created_at, id"))?;
            statement.query_map([], AppRow::read)?.collect()
        };
        rows().map_err(|source| self.report(source))?.into_iter().map(|row| self.app_of(row)).collect()
    }

    /// The app of this id.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read.
    pub fn app(&self, id: &str) -> Result<Option<StoredApp>, StoreError> {
        let row = select(&self.connection, id).map_err(|source| self.report(source))?;
        row.map(|row| self.app_of(row)).transpose()
    }

    /// Adds an app.
    ///
    /// # Errors
    /// [`StoreError::IdTaken`] or [`StoreError::KeyTaken`] if there is one like it.
    pub fn add_app(&self, app: &StoredApp) -> Result<(), StoreError> {
        self.insert(INSERT, app).map(|_| ())
    }

    /// Adds an app if there is none at all, and says whether it did; of several processes only one does.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be written.
    pub fn add_first_app(&self, app: &StoredApp) -> Result<bool, StoreError> {
        self.insert(&format!("{INSERT} WHERE NOT EXISTS (SELECT 1 FROM apps)"), app)
    }

    /// Changes the secret and settings of an app, and returns it as it is now; `None` if there is no such app.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be read or written.
    pub fn update_app(
        &mut self,
        id: &str,
        change: impl FnOnce(&mut StoredApp),
    ) -> Result<Option<StoredApp>, StoreError> {
        let path = self.path.clone();
        let sqlite = |source| super::report(&path, source);
        let transaction =
            self.connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
        let Some(row) = select(&transaction, id).map_err(sqlite)? else { return Ok(None) };
        let mut app =
            row.into_app().map_err(|(id, source)| StoreError::Settings { path: path.clone(), id, source })?;
        change(&mut app);
        transaction
            .execute(
                "UPDATE apps SET secret = :secret, previous_secret = :previous_secret, settings = :settings
                    WHERE id = :id",
                named_params! {
                    ":id": id,
                    ":secret": app.secret.reveal(),
                    ":previous_secret": previous_secret(&app),
                    ":settings": json(&app),
                },
            )
            .map_err(sqlite)?;
        transaction.commit().map_err(sqlite)?;
        Ok(Some(app))
    }

    fn insert(&self, sql: &str, app: &StoredApp) -> Result<bool, StoreError> {
        let parameters = named_params! {
            ":id": app.id,
            ":key": app.key,
            ":secret": app.secret.reveal(),
            ":previous_secret": previous_secret(app),
            ":settings": json(app),
            ":created_at": i64::try_from(app.created_at.as_millis()).unwrap_or(i64::MAX),
        };
        match self.connection.execute(sql, parameters) {
            Ok(rows) => Ok(rows == 1),
            Err(error) => Err(match error.sqlite_error().map(|error| error.extended_code) {
                Some(ffi::SQLITE_CONSTRAINT_PRIMARYKEY) => StoreError::IdTaken { id: app.id.clone() },
                Some(ffi::SQLITE_CONSTRAINT_UNIQUE) => StoreError::KeyTaken { key: app.key.clone() },
                _ => self.report(error),
            }),
        }
    }

    fn app_of(&self, row: AppRow) -> Result<StoredApp, StoreError> {
        row.into_app().map_err(|(id, source)| StoreError::Settings { path: self.path.clone(), id, source })
    }
}

struct AppRow {
    id: String,
    key: String,
    secret: String,
    previous_secret: Option<String>,
    settings: String,
    created_at_ms: i64,
}

impl AppRow {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(AppRow {
            id: row.get(0)?,
            key: row.get(1)?,
            secret: row.get(2)?,
            previous_secret: row.get(3)?,
            settings: row.get(4)?,
            created_at_ms: row.get(5)?,
        })
    }

    /// The app, or its id and what is wrong with its settings.
    fn into_app(self) -> Result<StoredApp, (String, SettingsError)> {
        let secret = AppSecret::new(self.secret);
        let secret = match self.previous_secret {
            Some(previous) => secret.replacing(AppSecret::new(previous)),
            None => secret,
        };
        match AppSettings::from_json(&self.settings) {
            Ok(settings) => Ok(StoredApp {
                id: self.id,
                key: self.key,
                secret,
                settings,
                created_at: Duration::from_millis(u64::try_from(self.created_at_ms).unwrap_or(0)),
            }),
            Err(error) => Err((self.id, error)),
        }
    }
}

fn select(connection: &Connection, id: &str) -> rusqlite::Result<Option<AppRow>> {
    connection.query_row(&format!("{COLUMNS} WHERE id = ?1"), [id], AppRow::read).optional()
}

fn previous_secret(app: &StoredApp) -> Option<&str> {
    app.secret.previous().map(AppSecret::reveal)
}

fn json(app: &StoredApp) -> String {
    Value::Object(app.settings.to_json()).to_string()
}
