//! Everything Tidings keeps. So far: the apps that were made on the command line or at the first start.
//!
//! [`Store`] is the way in; [`apps`] says what an app's row is, [`settings`] what can be set for an app, here and in
//! the configuration file alike.

pub mod apps;
pub mod settings;
mod sqlite;

use std::{io, path::PathBuf};

pub use apps::StoredApp;
pub use settings::AppSettings;
pub use sqlite::Store;

use settings::SettingsError;

/// Why the store could not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The data directory is not there and cannot be made.
    #[error("cannot create the data directory {}: {source}; name another one with --data-dir or TIDINGS_DATA_DIR", .path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The database file can neither be opened nor created.
    #[error("cannot open {}: the file, or its directory, may not be read and written by this user", .path.display())]
    Open {
        /// The file.
        path: PathBuf,
    },
    /// The file is something else.
    #[error("{} is not an SQLite database; move it away, or name another data directory", .path.display())]
    NotADatabase {
        /// The file.
        path: PathBuf,
    },
    /// A newer Tidings has been here.
    #[error("{} has schema version {found}, and this Tidings knows {known} at most; run the newer Tidings that wrote it, or go back to a backup", .path.display())]
    NewerSchema {
        /// The file.
        path: PathBuf,
        /// The version it has.
        found: u32,
        /// The version of this program.
        known: u32,
    },
    /// Another process did not let go of it in time.
    #[error("{} is locked by another process; try again, and look for a process that holds it open", .path.display())]
    Locked {
        /// The file.
        path: PathBuf,
    },
    /// There is an app of this id already.
    #[error("there is an app with id {id} already; choose another id")]
    IdTaken {
        /// The id.
        id: String,
    },
    /// There is an app of this key already.
    #[error("there is an app with key {key} already; choose another key")]
    KeyTaken {
        /// The key.
        key: String,
    },
    /// A row's settings cannot be read.
    #[error("the settings of app {id} in {} cannot be read: {source}; run the Tidings that wrote them", .path.display())]
    Settings {
        /// The file.
        path: PathBuf,
        /// The app's id.
        id: String,
        /// What is wrong with them.
        source: SettingsError,
    },
    /// Anything else that `SQLite` reports.
    #[error("{}: {source}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}
