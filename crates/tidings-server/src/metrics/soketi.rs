//! What soketi tells, under its own names, so that boards that were made for it go on working.
//!
//! The server's port stands in the names, and the app is the label `app_id`. What soketi tells of Node.js has no meaning
//! here.
//!
//! Source: soketi, `src/metrics/prometheus-metrics-driver.ts` and `src/http-handler.ts`.

use std::{collections::HashMap, sync::Arc};

use super::{Traffic, text::Text};
use crate::apps::LiveApp;

/// Adds them.
pub(super) fn add_to(text: &mut Text, port: u16, apps: &[Arc<LiveApp>], sent: &HashMap<Arc<str>, Traffic>) {
    let name = |stem: &str| format!("soketi_{port}_{stem}");
    let connected = name("connected");
    let mut family = text.gauge(&connected, "Open connections.");
    for live in apps {
        family.sample(&[("app_id", live.id())], live.open_connections());
    }
    let mut counter = |stem: &str, help: &str, count: &dyn Fn(&LiveApp) -> u64| {
        let name = name(stem);
        let mut family = text.counter(&name, help);
        for live in apps {
            family.sample(&[("app_id", live.id())], count(live));
        }
    };
    counter("new_connections_total", "Connections that were taken.", &LiveApp::opened_connections);
    counter("new_disconnections_total", "Connections that ended.", &|live| {
        live.closed_connections.all().values().sum()
    });
    counter("socket_received_bytes", "Bytes from clients.", &|live| live.received.sum().bytes);
    counter("socket_transmitted_bytes", "Bytes of frames written to clients.", &|live| {
        sent.get(live.id()).copied().unwrap_or_default().bytes
    });
    let help = "Requests of backends that were carried out, but those that end connections.";
    counter("http_calls_received_total", help, &|live| live.api_received.sum().messages);
    counter("http_received_bytes", "Bytes of these requests' bodies.", &|live| live.api_received.sum().bytes);
    counter("http_transmitted_bytes", "Bytes of these requests' answers.", &|live| live.api_sent.sum().bytes);
}
