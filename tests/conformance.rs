//! Holds the whole server against `protocol-spec/`, as the protocol crate's own runner holds that crate.
//!
//! Each vector has a server of its own in this process, started on a free port, and real loopback sockets. Each file
//! is a test, which runs all its vectors and fails with the list of those that went otherwise:
//! `cargo test -p tidings-tests conformance`. What only the crate can show is not run here: where a vector is `None`,
//! it says why.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use serde::de::DeserializeOwned;

mod app;
mod auth;
mod client;
mod closes;
#[expect(dead_code, reason = "some fields only say something to the crate's runner")]
#[path = "../crates/tidings-protocol/tests/vectors/format.rs"]
mod format;
mod frames;
mod limits;
mod scenario;
mod values;
mod world;

use format::{ApiVector, Apps, File, Scenario, Vector};
use world::Idle;

/// What a vector has shown: the error tells expected and got.
type Outcome = Result<(), String>;

/// A vector that takes this much of real time hangs.
const HANGS: Duration = Duration::from_mins(1);

macro_rules! files {
    ($hold:ident: $($test:ident $file:literal,)*) => {
        use super::{format, $hold, spec};

        $(#[test]
        fn $test() {
            $hold($file);
        })*

        #[test]
        fn no_file_is_left_out() {
            let folder = module_path!().rsplit("::").next().expect("a module has a name");
            assert_eq!(format::files_in(&spec(), folder), [$($file),*]);
        }
    };
}

mod scenarios {
    files! { hold_scenarios:
        activity "scenarios/activity.json",
        authorized_connections "scenarios/authorized-connections.json",
        cache "scenarios/cache.json",
        client_events "scenarios/client-events.json",
        connecting "scenarios/connecting.json",
        errors "scenarios/errors.json",
        events "scenarios/events.json",
        presence "scenarios/presence.json",
        subscribing "scenarios/subscribing.json",
        subscription_count "scenarios/subscription-count.json",
        users "scenarios/users.json",
        watchlist "scenarios/watchlist.json",
    }
}

mod api {
    files! { hold_api:
        batch_events "api/batch-events.json",
        channels "api/channels.json",
        events "api/events.json",
        requests "api/requests.json",
    }
}

fn hold_scenarios(file: &str) {
    let vectors = load::<Scenario>(file);
    let apps = apps();
    hold(file, &vectors, &async |vector, idle| Some(scenario::run(vector, &apps, idle).await));
}

fn hold_api(file: &str) {
    let vectors: Vec<Scenario> = load::<ApiVector>(file).into_iter().map(Scenario::from).collect();
    let apps = apps();
    hold(file, &vectors, &async |vector, idle| Some(scenario::run(vector, &apps, idle).await));
}

fn spec() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../protocol-spec")
}

fn apps() -> Apps {
    format::load(&spec(), "app.json")
}

fn load<T: DeserializeOwned>(file: &str) -> Vec<T> {
    format::load::<File<T>>(&spec(), file).vectors
}

/// Runs vectors, each on a runtime of its own; `None` is a vector that only the crate can show.
///
/// # Panics
/// With a list of all that went otherwise.
fn hold<T: Vector>(file: &str, vectors: &[T], run: &impl AsyncFn(&T, Idle) -> Option<Outcome>) {
    let mut held = 0;
    let mut wrong = Vec::new();
    for vector in vectors {
        let (runtime, idle) = Idle::runtime();
        let run = async { tokio::time::timeout(HANGS, run(vector, idle)).await };
        // A panic is one vector's failure: the others have their turn.
        let outcome = match catch_unwind(AssertUnwindSafe(|| runtime.block_on(run))) {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Some(Err(format!("not over after {HANGS:?}"))),
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                Some(Err(format!("panicked: {}", text.unwrap_or_default())))
            }
        };
        held += usize::from(outcome.is_some());
        if let Some(Err(error)) = outcome {
            wrong.push(format!(
                "protocol-spec/{file}: {}\nsource: {}\n{error}",
                vector.name(),
                vector.source()
            ));
        }
    }
    println!("{file}: {held} of {} vectors through the whole server", vectors.len());
    assert!(wrong.is_empty(), "{} of {held} vectors went otherwise:\n\n{}", wrong.len(), wrong.join("\n"));
}
