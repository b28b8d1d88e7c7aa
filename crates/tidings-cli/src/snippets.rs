//! What to paste where, to use an app from another program.

use clap::ValueEnum;
use tidings_protocol::App;

use super::target::Target;

/// Where a snippet is pasted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Place {
    /// The .env of a Laravel application
    Laravel,
    /// A backend with the npm library pusher
    Node,
    /// A backend with the Python library pusher
    Python,
    /// A page with pusher-js
    Browser,
}

pub(super) fn snippet(place: Place, app: &App, server: &Target) -> String {
    let App { id, key, secret, .. } = app;
    let (secret, host, port, tls) = (secret.reveal(), server.host(), server.port(), server.is_tls());
    let scheme = if tls { "https" } else { "http" };
    let ssl = if tls { "True" } else { "False" };
    match place {
        Place::Browser => browser(key, server),
        Place::Laravel => format!(
            "\
BROADCAST_CONNECTION=pusher
PUSHER_APP_ID={id}
PUSHER_APP_KEY={key}
PUSHER_APP_SECRET={secret}
PUSHER_HOST={host}
PUSHER_PORT={port}
PUSHER_SCHEME={scheme}
PUSHER_APP_CLUSTER=local

VITE_PUSHER_APP_KEY=\"${{PUSHER_APP_KEY}}\"
VITE_PUSHER_HOST=\"${{PUSHER_HOST}}\"
VITE_PUSHER_PORT=\"${{PUSHER_PORT}}\"
VITE_PUSHER_SCHEME=\"${{PUSHER_SCHEME}}\"
VITE_PUSHER_APP_CLUSTER=\"${{PUSHER_APP_CLUSTER}}\"
"
        ),
        Place::Node => format!(
            "\
const Pusher = require(\"pusher\");
const pusher = new Pusher({{
  appId: \"{id}\",
  key: \"{key}\",
  secret: \"{secret}\",
  host: \"{host}\",
  port: \"{port}\",
  useTLS: {tls},
}});
pusher.trigger(\"demo\", \"hello\", {{ text: \"Hi\" }});
"
        ),
        Place::Python => format!(
            "\
import pusher

client = pusher.Pusher(
    app_id=\"{id}\",
    key=\"{key}\",
    secret=\"{secret}\",
    host=\"{host}\",
    port={port},
    ssl={ssl},
)
client.trigger(\"demo\", \"hello\", {{\"text\": \"Hi\"}})
"
        ),
    }
}

/// For a page with pusher-js.
pub(super) fn browser(key: &str, server: &Target) -> String {
    let (host, port) = (server.host(), server.port());
    let tls = server.is_tls();
    let (ws_port, http_port) = if tls { ("wssPort", "httpsPort") } else { ("wsPort", "httpPort") };
    format!(
        "\
const pusher = new Pusher(\"{key}\", {{
  wsHost: \"{host}\",
  {ws_port}: {port},
  httpHost: \"{host}\",
  {http_port}: {port},
  forceTLS: {tls},
  cluster: \"local\",
}});
pusher.subscribe(\"demo\").bind(\"hello\", (data) => console.log(data));
"
    )
}
