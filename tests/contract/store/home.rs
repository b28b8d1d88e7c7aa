//! Where a store is kept, and what is done to it behind its back.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process,
};

use rusqlite::{Connection, params};
use tidings_store::{Announcements, SharedStore};

/// A place for one store, gone at its end.
pub(super) struct Home {
    data_dir: PathBuf,
}

/// What becomes of the transaction in which something cannot be stored.
#[derive(Clone, Copy)]
pub(super) enum Harm {
    /// That one change is undone.
    Change,
    /// All of it is undone.
    Transaction,
}

/// Another process that is writing; it ends when dropped.
pub(super) struct Writing(Connection);

impl Home {
    pub(super) fn sqlite(case: &str) -> Self {
        let name = format!("tidings-contract-{}-{}", process::id(), case.replace("::", "-"));
        let data_dir = env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&data_dir);
        Home { data_dir }
    }

    /// A place for another store, within this one.
    pub(super) fn room(&self, number: u64) -> Self {
        Home { data_dir: self.data_dir.join(number.to_string()) }
    }

    pub(super) fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    /// Opens the store as the server does.
    pub(super) fn serve(&self) -> (SharedStore, Announcements) {
        SharedStore::serve(&self.data_dir).expect("the store opens")
    }

    /// Opens it as another process does.
    pub(super) fn beside(&self) -> SharedStore {
        SharedStore::beside(&self.data_dir).expect("the store opens")
    }

    /// From now on nothing of this title can be stored.
    pub(super) fn refuse(&self, title: &str, harm: Harm) {
        let raise = match harm {
            Harm::Change => "ABORT",
            Harm::Transaction => "ROLLBACK",
        };
        self.connect()
            .execute_batch(&format!(
                "CREATE TRIGGER \"refuse {title}\" BEFORE INSERT ON notifications WHEN new.title = '{title}'
                 BEGIN SELECT raise({raise}, 'refused'); END"
            ))
            .expect("a trigger");
    }

    /// From now on everything can be stored again.
    pub(super) fn accept(&self, title: &str) {
        self.connect()
            .execute_batch(&format!("DROP TRIGGER \"refuse {title}\""))
            .expect("there is a trigger");
    }

    /// Lets another process write, and not end.
    pub(super) fn lock(&self) -> Writing {
        let connection = self.connect();
        connection.execute_batch("BEGIN IMMEDIATE").expect("nobody else writes for long");
        Writing(connection)
    }

    /// How many rows a table has.
    pub(super) fn rows(&self, table: &str) -> i64 {
        self.connect()
            .query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
            .expect("counted")
    }

    /// Whether a text stands anywhere among the notifications, in tombstones too.
    pub(super) fn says(&self, text: &str) -> bool {
        self.connect()
            .query_row(
                "SELECT EXISTS (SELECT 1 FROM notifications WHERE instr(concat(title, body, preview, footer,
                    button_link, button_text, button2_link, button2_text, image_url, data, category, tags), ?1))",
                params![text],
                |row| row.get(0),
            )
            .expect("searched")
    }

    fn connect(&self) -> Connection {
        let connection = Connection::open(self.data_dir.join("tidings.db")).expect("opens");
        connection.busy_timeout(crate::harness::DEADLINE).expect("a time-out");
        connection
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.data_dir);
    }
}

impl Drop for Writing {
    fn drop(&mut self) {
        let _ = self.0.execute_batch("ROLLBACK");
    }
}
