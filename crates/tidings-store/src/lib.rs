//! Everything Tidings keeps: apps, brands and their keys, users and their logins, notifications, and what is to be
//! told or sent of them.
//!
//! [`Store`] is the way in for one caller at a time: the command line, and a server that looks for what it has changed.
//! [`SharedStore`] is the way in for a server's many tasks: one writer that commits in groups, readers beside it. The
//! modules say what the rows are; the SQL is in `sqlite`.

mod announcements;
pub mod apps;
mod brands;
pub mod deliveries;
pub mod metrics;
pub mod notifications;
pub mod sending;
pub mod settings;
mod sqlite;
pub mod time;
mod users;

use std::{io, path::PathBuf};

pub use announcements::{Announcement, Ids, News};
pub use apps::StoredApp;
pub use brands::{Brand, BrandId, KeyScope, SecretHash, StoredKey, is_brand_name};
pub use notifications::{
    Added, Changed, Content, Counts, Filter, INBOX_MAX, Kind, Listed, NewNotification, Notification,
    NotificationId, Recipient, Set, SourceKey, Which,
};
pub use settings::AppSettings;
pub use sqlite::{Announcements, BrandTaken, BrandsAndKeys, Held, Put, SharedStore, Store};
pub use users::{EXTERNAL_ID_MAX, NewLogin, Profile, User, UserId, UserKey};

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
    /// Another process serves this store: both would tell the same pages.
    #[error("another server uses {}; stop it, or name another directory with --data-dir", .data_dir.display())]
    Served {
        /// The directory.
        data_dir: PathBuf,
    },
    /// More waits to be written or read than may.
    #[error("more waits for the store than can be; try again later")]
    Overloaded,
    /// The writer has ended: the server is stopping.
    #[error("the store is being closed; try again later")]
    Stopped,
    /// Anything else that `SQLite` reports.
    #[error("{}: {source}", .path.display())]
    Sqlite {
        /// The file.
        path: PathBuf,
        /// What it said.
        source: rusqlite::Error,
    },
}
