//! The store in one `SQLite` file.

mod announcements;
mod apps;
mod brands;
mod calls;
mod deliveries;
mod migrations;
mod notifications;
mod room;
mod sending;
mod shared;
mod users;
mod values;
mod writer;

use std::{
    fs::{self, DirBuilder, Permissions},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    thread,
    time::Duration,
};

use rusqlite::{Connection, ErrorCode};

use crate::StoreError;

pub use brands::{BrandTaken, BrandsAndKeys, Put};
pub use room::Held;
pub use shared::{Announcements, SharedStore};

const FILE_NAME: &str = "tidings.db";
/// How long a lock of another process is waited for.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How many statements a connection keeps prepared: more than there are, so that none is ever read again.
const STATEMENTS: usize = 128;

/// Everything kept: one connection to one file.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Connection,
}

impl Store {
    /// Opens the store in this directory; makes both where they are not there, for this user's eyes only.
    ///
    /// # Errors
    /// [`StoreError`] if they cannot be made, opened or brought to this version.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(data_dir)
            .map_err(|source| StoreError::Directory { path: data_dir.to_owned(), source })?;
        let path = Self::path_in(data_dir);
        let is_new = !path.exists();
        let mut connection = Connection::open(&path).map_err(|source| report(&path, source))?;
        if is_new {
            // By name: to open and close the file would let go of SQLite's locks on it in this process.
            fs::set_permissions(&path, Permissions::from_mode(0o600))
                .map_err(|_| StoreError::Open { path: path.clone() })?;
        }
        configure(&connection).map_err(|source| report(&path, source))?;
        migrations::run(&mut connection, &path)?;
        Ok(Store { path, connection })
    }

    /// Opens the store in this directory if there is one.
    ///
    /// # Errors
    /// [`StoreError`] if it cannot be opened or brought to this version.
    pub fn open_existing(data_dir: &Path) -> Result<Option<Self>, StoreError> {
        // What cannot be looked at is not what is not there: opening says why.
        if matches!(Self::path_in(data_dir).try_exists(), Ok(false)) {
            Ok(None)
        } else {
            Self::open(data_dir).map(Some)
        }
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A number that changes when another connection, of whatever process, has changed something.
    ///
    /// # Errors
    /// [`StoreError`] if the file cannot be read.
    pub fn data_version(&self) -> Result<u32, StoreError> {
        data_version(&self.connection).map_err(|source| self.report(source))
    }

    fn path_in(data_dir: &Path) -> PathBuf {
        data_dir.join(FILE_NAME)
    }

    fn report(&self, source: rusqlite::Error) -> StoreError {
        report(&self.path, source)
    }
}

/// One more connection to a store that has been opened.
fn connect(path: &Path) -> Result<Connection, StoreError> {
    let connection = Connection::open(path).map_err(|source| report(path, source))?;
    configure(&connection).map_err(|source| report(path, source))?;
    Ok(connection)
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    use_wal(connection)?;
    // An acknowledged row survives a power cut.
    connection.pragma_update(None, "synchronous", "FULL")
}

/// Switches the file to a write-ahead log. `SQLite` does not wait for others that do the same at this moment, so the
/// waiting is done here.
fn use_wal(connection: &Connection) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(10);
    let mut waited = Duration::ZERO;
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && waited < BUSY_TIMEOUT =>
            {
                thread::sleep(PAUSE);
                waited += PAUSE;
            }
            done => return done,
        }
    }
}

/// See [`Store::data_version`]. It is asked for several times a second: to compile the statement costs more than to run it.
fn data_version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))
}

/// What `SQLite` reported, told as what it means for this file.
fn report(path: &Path, source: rusqlite::Error) -> StoreError {
    let path = path.to_owned();
    match source.sqlite_error_code() {
        Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
            StoreError::Open { path }
        }
        Some(ErrorCode::NotADatabase) => StoreError::NotADatabase { path },
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { path },
        _ => StoreError::Sqlite { path, source },
    }
}

#[cfg(test)]
mod tests;
