//! Holds the crate against `protocol-spec/`: every vector is a test of its own, named after its file and itself.
//!
//! `cargo test -p tidings-protocol --test vectors -- presence` runs those with "presence" in their names.

use std::{collections::HashSet, path::Path, sync::Arc};

use libtest_mimic::{Arguments, Failed, Trial};

#[macro_use]
#[path = "vectors/format.rs"]
mod format;
#[path = "vectors/http.rs"]
mod http;
#[path = "vectors/scenario.rs"]
mod scenario;
#[path = "vectors/values.rs"]
mod values;
#[path = "vectors/webhooks.rs"]
mod webhooks;
#[path = "vectors/world.rs"]
mod world;

use format::{File, Vector};
use values::Outcome;

fn main() {
    let spec = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../protocol-spec");
    let mut trials = Vec::new();

    let names: format::Names = format::load(&spec, "names.json");
    let head = [names.about.as_str(), names.source.as_str()];
    add(&mut trials, "names.json channels", head, names.channels, values::channel_name);
    add(&mut trials, "names.json user_ids", head, names.user_ids, values::user_id);
    add(&mut trials, "names.json socket_ids", head, names.socket_ids, values::socket_id);

    let auth: format::Auth = format::load(&spec, "auth.json");
    let head = [auth.about.as_str(), auth.source.as_str()];
    add(&mut trials, "auth.json channel", head, auth.channel, values::channel_auth);
    add(&mut trials, "auth.json user", head, auth.user, values::user_auth);
    add(&mut trials, "auth.json request", head, auth.request, values::request_auth);

    add_file(&mut trials, &spec, "close-codes.json", values::close_code);
    add_file(&mut trials, &spec, "handshake.json", values::handshake);
    add_file(&mut trials, &spec, "limits.json", values::limit);
    add_file(&mut trials, &spec, "origins.json", values::origin);
    add_file(&mut trials, &spec, "frames/client.json", values::client_frame);
    add_file(&mut trials, &spec, "frames/server.json", values::server_frame);

    let webhooks: webhooks::Webhooks = format::load(&spec, "webhooks.json");
    let head = [webhooks.about.as_str(), webhooks.source.as_str()];
    add(&mut trials, "webhooks.json signatures", head, webhooks.signatures, webhooks::signature);
    add(&mut trials, "webhooks.json events", head, webhooks.events, webhooks::event);

    let apps: Arc<format::Apps> = Arc::new(format::load(&spec, "app.json"));
    assert!(!apps.about.is_empty(), "app.json says what it is about");
    for file in format::files_in(&spec, "api") {
        let File { about, source, vectors } = format::load::<File<format::ApiVector>>(&spec, &file);
        let vectors = vectors.into_iter().map(format::Scenario::from).collect();
        let apps = apps.clone();
        add(&mut trials, &file, [&about, &source], vectors, move |vector| scenario::run(vector, &apps));
    }
    for file in format::files_in(&spec, "scenarios") {
        let apps = apps.clone();
        add_file(&mut trials, &spec, &file, move |vector| scenario::run(vector, &apps));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

fn add_file<T: Vector + serde::de::DeserializeOwned + Send + Sync + 'static>(
    trials: &mut Vec<Trial>,
    spec: &Path,
    file: &str,
    check: impl Fn(&T) -> Outcome + Send + Sync + 'static,
) {
    let File { about, source, vectors } = format::load::<File<T>>(spec, file);
    add(trials, file, [&about, &source], vectors, check);
}

/// One trial for each vector.
fn add<T: Vector + Send + Sync + 'static>(
    trials: &mut Vec<Trial>,
    file: &str,
    head: [&str; 2],
    vectors: Vec<T>,
    check: impl Fn(&T) -> Outcome + Send + Sync + 'static,
) {
    assert!(head.iter().all(|text| !text.is_empty()), "{file} says what it is about and where it comes from");
    let check = Arc::new(check);
    let mut seen = HashSet::new();
    for vector in vectors {
        assert!(seen.insert(vector.name().to_owned()), "{file} has two vectors {}", vector.name());
        assert!(!vector.source().is_empty(), "{file}, {}: source", vector.name());
        let (name, server_only) = (format!("{file}: {}", vector.name()), vector.server_only());
        let (check, at) = (check.clone(), format!("protocol-spec/{name}\nsource: {}", vector.source()));
        let trial =
            Trial::test(name, move || check(&vector).map_err(|wrong| Failed::from(format!("{at}\n{wrong}"))));
        trials.push(trial.with_ignored_flag(server_only));
    }
}
