use std::{env, fs, path::PathBuf, process, thread};

use tidings_protocol::{app::AppSecret, limit::Limit};

use super::*;
use crate::{AppSettings, StoredApp, settings::Origins};

/// A directory of this test's own, gone at its end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = env::temp_dir().join(format!("tidings-store-{}-{name}", process::id()));
        let _ = fs::remove_dir_all(&path);
        Folder(path)
    }

    fn open(&self) -> Store {
        Store::open(&self.0).expect("the store opens")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn app(id: &str, key: &str) -> StoredApp {
    StoredApp {
        id: id.to_owned(),
        key: key.to_owned(),
        secret: AppSecret::new("a secret"),
        settings: AppSettings::default(),
        created_at: Duration::from_millis(1_700_000_000_123),
    }
}

#[test]
fn keeps_apps_over_a_restart() {
    let folder = Folder::new("restart");
    let mut first = app("1", "k1");
    first.settings.features.watchlist_events = true;
    first.settings.limits.connections = Limit::new(7);
    first.settings.allowed_origins = Origins::parse(vec!["https://A.example".into()]).expect("pattern");
    let later = StoredApp { created_at: first.created_at + Duration::from_secs(1), ..app("0", "k0") };
    first.secret = first.secret.replacing(AppSecret::new("the one before"));
    let store = folder.open();
    store.add_app(&later).expect("added");
    store.add_app(&first).expect("added");
    drop(store);
    let store = folder.open();
    assert_eq!(store.apps().expect("apps"), [first.clone(), later]);
    assert_eq!(store.app("1").expect("app"), Some(first));
    assert_eq!(store.app("2").expect("app"), None);
}

#[test]
fn ids_and_keys_are_one_of_a_kind() {
    let folder = Folder::new("unique");
    let store = folder.open();
    store.add_app(&app("1", "k1")).expect("added");
    assert!(matches!(store.add_app(&app("1", "k2")), Err(StoreError::IdTaken { id }) if id == "1"));
    assert!(matches!(store.add_app(&app("2", "k1")), Err(StoreError::KeyTaken { key }) if key == "k1"));
    assert_eq!(store.apps().expect("apps").len(), 1);
}

#[test]
fn changes_secret_and_settings() {
    let folder = Folder::new("update");
    let mut store = folder.open();
    store.add_app(&app("1", "k1")).expect("added");
    let changed = store.update_app("1", |app| {
        app.secret = AppSecret::new("another");
        app.settings.enabled = false;
    });
    let changed = changed.expect("updated").expect("is there");
    assert_eq!((changed.secret.reveal(), changed.settings.enabled), ("another", false));
    assert_eq!(store.app("1").expect("app"), Some(changed));
    assert_eq!(store.update_app("2", |_| panic!("there is none")).expect("no error"), None);
}

#[test]
fn tells_that_another_connection_changed_something() {
    let folder = Folder::new("data-version");
    let (one, other) = (folder.open(), folder.open());
    let before = one.data_version().expect("version");
    assert_eq!(one.data_version().expect("version"), before);
    other.add_app(&app("1", "k1")).expect("added");
    assert_ne!(one.data_version().expect("version"), before);
}

#[test]
fn many_open_a_new_store_at_once_and_one_adds_the_first_app() {
    let folder = Folder::new("at-once");
    let added: Vec<bool> = thread::scope(|scope| {
        let start = |n: u32| {
            let folder = &folder;
            let add = move || {
                folder.open().add_first_app(&app(&n.to_string(), &format!("k{n}"))).expect("no error")
            };
            scope.spawn(add)
        };
        let threads: Vec<_> = (0..16).map(start).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert_eq!(added.iter().filter(|added| **added).count(), 1);
    assert_eq!(folder.open().apps().expect("apps").len(), 1);
}

#[test]
fn is_for_this_users_eyes_only() {
    let folder = Folder::new("modes");
    let store = folder.open();
    store.add_app(&app("1", "k1")).expect("added");
    let mode = |path: &Path| fs::metadata(path).expect("is there").permissions().mode() & 0o777;
    assert_eq!(mode(&folder.0), 0o700);
    assert_eq!(mode(store.path()), 0o600);
    assert_eq!(mode(&folder.0.join("tidings.db-wal")), 0o600);
}

#[test]
fn writes_ahead_and_syncs() {
    let folder = Folder::new("pragmas");
    let store = folder.open();
    let pragma = |name: &str| -> String {
        let value: rusqlite::types::Value =
            store.connection.pragma_query_value(None, name, |row| row.get(0)).expect("pragma");
        format!("{value:?}")
    };
    assert_eq!(pragma("journal_mode"), r#"Text("wal")"#);
    assert_eq!(pragma("synchronous"), "Integer(2)");
}

#[test]
fn makes_nothing_where_an_existing_store_is_asked_for() {
    let folder = Folder::new("existing");
    assert!(Store::open_existing(&folder.0).expect("no error").is_none());
    assert!(!folder.0.exists());
    drop(folder.open());
    assert!(Store::open_existing(&folder.0).expect("no error").is_some());
}

/// What opening says after this was done to a good store.
fn check(name: &str, harm: impl FnOnce(&Path), expected: &str) {
    let folder = Folder::new(name);
    let path = folder.open().path().to_owned();
    harm(&path);
    let error = Store::open(&folder.0).and_then(|store| store.apps()).expect_err(name);
    assert_eq!(error.to_string().replace(&*path.to_string_lossy(), "FILE"), expected);
}

fn execute(path: &Path, sql: &str) {
    Connection::open(path).expect("opens").execute_batch(sql).expect(sql);
}

#[test]
fn says_what_is_wrong_and_what_to_do() {
    check(
        "newer",
        |path| execute(path, "PRAGMA user_version = 99"),
        "FILE has schema version 99, and this Tidings knows 5 at most; run the newer Tidings that wrote it, or go \
         back to a backup",
    );
    check(
        "garbage",
        |path| fs::write(path, "no database, but text of more than sixteen bytes").expect("written"),
        "FILE is not an SQLite database; move it away, or name another data directory",
    );
    check(
        "settings",
        |path| {
            execute(
                path,
                "INSERT INTO apps (id, key, secret, settings, created_at) VALUES ('7', 'k', 's', '{\"enabled\":0}', 1)",
            );
        },
        "the settings of app 7 in FILE cannot be read: enabled must be true or false; run the Tidings that wrote \
         them",
    );
    check(
        "directory",
        |path| {
            fs::remove_file(path).expect("removed");
            fs::create_dir(path).expect("made");
        },
        "cannot open FILE: the file, or its directory, may not be read and written by this user",
    );
}

#[test]
fn a_data_directory_that_is_a_file() {
    let folder = Folder::new("file");
    fs::write(&folder.0, "x").expect("written");
    let error = Store::open(&folder.0).expect_err("it is a file").to_string();
    fs::remove_file(&folder.0).expect("removed");
    assert!(
        error.starts_with(&format!("cannot create the data directory {}: ", folder.0.display())),
        "{error}"
    );
    assert!(error.ends_with("; name another one with --data-dir or TIDINGS_DATA_DIR"), "{error}");
}

/// How much of a large inbox, and of a brand with many users, is read for what happens all the time.
#[test]
fn nothing_is_sorted_and_no_row_is_looked_at_to_count() {
    let folder = Folder::new("plans");
    let store = folder.open();
    let check = |sql: &str, index: &str| {
        let plan: Vec<String> = store
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .and_then(|mut plan| plan.query_map([], |row| row.get("detail"))?.collect())
            .expect("a plan");
        let covered = format!("USING COVERING INDEX {index} ");
        assert!(plan.len() == 1 && plan[0].contains(&covered), "{sql}: {plan:?}");
    };
    let there = "deleted_at IS NULL AND (expires_at IS NULL OR expires_at > 5)";
    check(
        &format!(
            "SELECT count(*) - count(read_at), count(*) - count(seen_at), count(*) FROM notifications
             WHERE user_id = 1 AND brand_id = 7 AND archived_at IS NULL AND {there}"
        ),
        "inbox",
    );
    check("SELECT id FROM users WHERE brand_id = 7 AND id > 3 ORDER BY id LIMIT 200", "users_by_brand");
}

/// To forget a user, no table is read that grows with the others.
#[test]
fn a_user_is_forgotten_without_looking_at_others() {
    let folder = Folder::new("forgotten");
    let store = folder.open();
    for sql in users::FORGET {
        let plan: Vec<String> = store
            .connection
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
            .and_then(|mut plan| plan.query_map([7, 1], |row| row.get("detail"))?.collect())
            .expect("a plan");
        let mut scans = plan.iter().filter(|step| step.starts_with("SCAN"));
        // The index has but the few broadcasts that are not over.
        assert!(scans.all(|scan| scan.contains("broadcasts USING INDEX broadcasts_due")), "{sql}: {plan:?}");
    }
}
