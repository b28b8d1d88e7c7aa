//! All metrics at one moment.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use tidings_courier::Counts;
use tidings_protocol::channel::ChannelKind;
use tidings_store::metrics::StoreMetrics;

use super::{Traffic, process, soketi, text::Text};
use crate::{apps::LiveApp, drain::Phase, lock, node::Node};

pub(crate) use super::text::CONTENT_TYPE;

/// The text of all metrics.
pub(crate) fn text(node: &Node) -> String {
    let mut text = Text::default();
    let apps = node.apps.all();
    let (sent, queued) = node.sent();
    connections(&mut text, &apps);
    traffic(&mut text, &apps, &sent);
    channels(&mut text, &apps);
    text.gauge("tidings_send_queue_bytes", "What waits to be sent to clients that read slowly.")
        .sample(&[], queued);
    let help = "From when an event was accepted until it was written to the channel's last socket.";
    text.histogram("tidings_broadcast_duration_seconds", help).histogram(&[], &node.broadcast_seconds());
    requests(&mut text, node);
    refusals(&mut text, node);
    webhooks(&mut text, &node.metrics.webhooks);
    store(&mut text, node.metrics.store.get().map(|store| &**store));
    text.gauge("tidings_build_info", "Always 1; the version is a label.")
        .sample(&[("version", env!("CARGO_PKG_VERSION"))], 1);
    text.gauge("tidings_draining", "1 from when the server has been told to leave.")
        .sample(&[], u8::from(node.phase() > Phase::Serving));
    let help =
        "When the certificate that is shown ends to be valid, in seconds since 1970; nothing without TLS.";
    let mut expiry = text.gauge("tidings_tls_certificate_expiry_timestamp_seconds", help);
    if let Some(expires) = node.certificate_expires() {
        expiry.sample(&[], expires.as_secs());
    }
    if let Some(port) = node.metrics.soketi_port.get() {
        soketi::add_to(&mut text, *port, &apps, &sent);
    }
    process::add_to(&mut text, node.started_unix.as_secs_f64());
    text.into_string()
}

fn connections(text: &mut Text, apps: &[Arc<LiveApp>]) {
    let mut open = text.gauge("tidings_connections", "Open connections.");
    for live in apps {
        open.sample(&[("app", live.id())], live.open_connections());
    }
    let mut opened = text.counter("tidings_connections_opened_total", "Connections that were taken.");
    for live in apps {
        opened.sample(&[("app", live.id())], live.opened_connections());
    }
    let help = "Connections that ended, by the code of the server's close frame; peer where the client ended it, none \
                where it broke.";
    let mut closed = text.counter("tidings_connections_closed_total", help);
    for live in apps {
        for (code, count) in live.closed_connections.all() {
            closed.sample(&[("app", live.id()), ("code", code)], count);
        }
    }
}

fn traffic(text: &mut Text, apps: &[Arc<LiveApp>], sent: &HashMap<Arc<str>, Traffic>) {
    let received = |live: &LiveApp| live.received.sum();
    let sent = |live: &LiveApp| sent.get(live.id()).copied().unwrap_or_default();
    let mut family = text.counter("tidings_ws_messages_received_total", "Frames from clients.");
    for live in apps {
        family.sample(&[("app", live.id())], received(live).messages);
    }
    let mut family = text.counter("tidings_ws_received_bytes_total", "Bytes from clients.");
    for live in apps {
        family.sample(&[("app", live.id())], received(live).bytes);
    }
    let mut family = text.counter("tidings_ws_messages_sent_total", "Frames written to clients.");
    for live in apps {
        family.sample(&[("app", live.id())], sent(live).messages);
    }
    let mut family = text.counter("tidings_ws_sent_bytes_total", "Bytes of frames written to clients.");
    for live in apps {
        family.sample(&[("app", live.id())], sent(live).bytes);
    }
}

fn channels(text: &mut Text, apps: &[Arc<LiveApp>]) {
    const KINDS: [(ChannelKind, &str); 5] = [
        (ChannelKind::Public, "public"),
        (ChannelKind::Private, "private"),
        (ChannelKind::Encrypted, "encrypted"),
        (ChannelKind::Presence, "presence"),
        (ChannelKind::User, "user"),
    ];
    let sizes: Vec<_> = apps.iter().map(|live| (live.id(), live.hub.sizes())).collect();
    let of = |sizes: &[(ChannelKind, usize)], wanted| {
        let sizes = sizes.iter().filter(|(kind, _)| *kind == wanted);
        sizes.fold((0, 0), |(channels, subscriptions), (_, size)| (channels + 1, subscriptions + size))
    };
    let mut family = text.gauge("tidings_channels", "Channels with subscribers.");
    for (app, sizes) in &sizes {
        for (kind, name) in KINDS {
            family.sample(&[("app", app), ("kind", name)], of(sizes, kind).0);
        }
    }
    let mut family = text.gauge("tidings_subscriptions", "Subscriptions of connections to channels.");
    for (app, sizes) in &sizes {
        for (kind, name) in KINDS {
            family.sample(&[("app", app), ("kind", name)], of(sizes, kind).1);
        }
    }
}

fn requests(text: &mut Text, node: &Node) {
    let routes = lock(&node.metrics.routes);
    let mut family = text.counter("tidings_http_requests_total", "HTTP requests that were answered.");
    for (route, requests) in &*routes {
        for (status, count) in &requests.by_status {
            family.sample(&[("route", route), ("status", &status.to_string())], count);
        }
    }
    let help = "From a request's head to its answer.";
    let mut family = text.histogram("tidings_http_request_duration_seconds", help);
    for (route, requests) in &*routes {
        family.histogram(&[("route", route)], &requests.durations);
    }
}

fn webhooks(text: &mut Text, counts: &Counts) {
    let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
    let help = "Events for webhooks: taken, failed attempts that are made again, and those that became dead letters.";
    let mut family = text.counter("tidings_webhook_deliveries_total", help);
    family.sample(&[("result", "taken")], read(&counts.taken));
    family.sample(&[("result", "failed")], read(&counts.failed));
    family.sample(&[("result", "dead")], read(&counts.dead));
    text.gauge("tidings_webhook_queue", "Events that wait for a webhook to take them.")
        .sample(&[], read(&counts.waiting));
    let help =
        "From a request to a webhook to its answer, by whether it was taken; one may carry several events.";
    let mut family = text.histogram("tidings_webhook_duration_seconds", help);
    family.histogram(&[("result", "taken")], &lock(&counts.taken_seconds));
    family.histogram(&[("result", "failed")], &lock(&counts.failed_seconds));
}

/// Without a store there is nothing to tell of it.
fn store(text: &mut Text, store: Option<&StoreMetrics>) {
    let mut family =
        text.counter("tidings_inbox_created_total", "Notifications that were stored for users to see.");
    if let Some(store) = store {
        family.sample(&[], store.created());
    }
    let commits = store.map(StoreMetrics::commits);
    let help = "How long the store took, without what waited for its turn: to commit a group of changes until it is \
                safe on disk, to read.";
    let mut family = text.histogram("tidings_store_duration_seconds", help);
    if let Some(commits) = &commits {
        family.histogram(&[("operation", "commit")], &commits.seconds);
    }
    if let Some(store) = store {
        family.histogram(&[("operation", "read")], &store.read_seconds());
    }
    let help = "Changes that one commit of the store held.";
    let mut family = text.histogram("tidings_store_batch_rows", help);
    if let Some(commits) = &commits {
        family.histogram(&[], &commits.rows);
    }
}

fn refusals(text: &mut Text, node: &Node) {
    let metrics = &node.metrics;
    let help = "Connections closed because their client read too slowly.";
    text.counter("tidings_slow_consumers_closed_total", help).sample(&[], metrics.slow_consumers_closed());
    let help = "What was refused for its signature, key or origin, by what was wrong.";
    let mut family = text.counter("tidings_auth_failures_total", help);
    for (reason, count) in metrics.auth_failures.all() {
        family.sample(&[("reason", reason)], count);
    }
    let help = "What was refused because a limit of the app was reached, by which.";
    let mut family = text.counter("tidings_rate_limited_total", help);
    for (scope, count) in metrics.rate_limited.all() {
        family.sample(&[("scope", scope)], count);
    }
}
