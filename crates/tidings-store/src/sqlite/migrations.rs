//! Brings a file to this version's schema, one step and one transaction at a time.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::report;
use crate::StoreError;

/// The steps in order; a step that has been released never changes. The file's `user_version` counts those done.
const STEPS: [&str; 5] = [
    include_str!("../../migrations/sqlite/0001_apps.sql"),
    include_str!("../../migrations/sqlite/0002_inbox.sql"),
    include_str!("../../migrations/sqlite/0003_previous_secret.sql"),
    include_str!("../../migrations/sqlite/0004_deliveries.sql"),
    include_str!("../../migrations/sqlite/0005_calls.sql"),
];

/// Does the steps that have not been done. Processes that start together wait for each other.
pub(super) fn run(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    run_steps(connection, path, &STEPS)
}

fn run_steps(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    while version(connection).map_err(|source| report(path, source))? as usize != steps.len() {
        run_next(connection, path, steps)?;
    }
    Ok(())
}

fn run_next(connection: &mut Connection, path: &Path, steps: &[&str]) -> Result<(), StoreError> {
    let known = u32::try_from(steps.len()).expect("steps are few");
    let sqlite = |source| report(path, source);
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sqlite)?;
    let found = version(&transaction).map_err(sqlite)?;
    if found > known {
        return Err(StoreError::NewerSchema { path: path.to_owned(), found, known });
    }
    if let Some(step) = steps.get(found as usize) {
        transaction.execute_batch(step).map_err(sqlite)?;
        transaction.pragma_update(None, "user_version", found + 1).map_err(sqlite)?;
    }
    transaction.commit().map_err(sqlite)
}

fn version(connection: &Connection) -> rusqlite::Result<u32> {
    connection.query_row("PRAGMA user_version", [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn does_what_is_missing_and_nothing_twice() {
        let mut connection = Connection::open_in_memory().expect("memory");
        let path = Path::new("memory");
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x)", "INSERT INTO b VALUES (1)"];
        for known in [1, 1, 3, 3] {
            run_steps(&mut connection, path, &steps[..known]).expect("steps");
            assert_eq!(version(&connection), Ok(u32::try_from(known).expect("few")));
        }
        let rows: u32 =
            connection.query_row("SELECT count(*) FROM b", [], |row| row.get(0)).expect("table b");
        assert_eq!(rows, 1);
    }

    #[test]
    fn a_step_that_fails_leaves_nothing() {
        let mut connection = Connection::open_in_memory().expect("memory");
        let steps = ["CREATE TABLE a (x)", "CREATE TABLE b (x); CREATE TABLE a (x)"];
        run_steps(&mut connection, Path::new("memory"), &steps).expect_err("a is there already");
        assert_eq!(version(&connection), Ok(1));
        connection.execute_batch("CREATE TABLE b (x)").expect("b is not there");
    }
}
