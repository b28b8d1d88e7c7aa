//! What the floor reads and writes, just enough of it.

use std::borrow::Cow;
use std::rc::Rc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::ws::{self, Opcode};

pub(super) const OK: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}";
pub(super) const BAD_REQUEST: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
pub(super) const NOT_FOUND: &[u8] = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";
pub(super) const PONG: &[u8] = br#"{"event":"pusher:pong","data":"{}"}"#;

/// A trigger. Name and data go out as the JSON that came in.
#[derive(Deserialize)]
pub(super) struct Trigger<'a> {
    #[serde(borrow)]
    pub(super) name: &'a RawValue,
    #[serde(borrow)]
    pub(super) data: &'a RawValue,
    #[serde(borrow, default)]
    pub(super) channel: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) channels: Vec<Cow<'a, str>>,
    #[serde(borrow, default)]
    socket_id: Option<Cow<'a, str>>,
}

impl Trigger<'_> {
    /// The serial number of the connection that does not get the event.
    pub(super) fn except(&self) -> Option<u64> {
        self.socket_id.as_deref()?.strip_prefix("1.")?.parse().ok()
    }
}

/// Several triggers.
#[derive(Deserialize)]
pub(super) struct Batch<'a> {
    #[serde(borrow)]
    pub(super) batch: Vec<Trigger<'a>>,
}

/// A frame from a client.
#[derive(Deserialize)]
pub(super) struct ClientFrame<'a> {
    #[serde(borrow)]
    pub(super) event: Cow<'a, str>,
    #[serde(borrow, default)]
    pub(super) channel: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    pub(super) data: Option<&'a RawValue>,
}

/// What a client wants to be in.
pub(super) struct Subscribe {
    pub(super) channel: String,
    pub(super) member: Option<Member>,
}

/// A member of a presence channel; `user_info` is JSON.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) user_id: String,
    pub(super) user_info: String,
}

impl ClientFrame<'_> {
    /// The data of a `pusher:subscribe` or `pusher:unsubscribe`.
    pub(super) fn subscribe(&self) -> Option<Subscribe> {
        #[derive(Deserialize)]
        struct Data {
            channel: String,
            channel_data: Option<String>,
        }
        #[derive(Deserialize)]
        struct ChannelData<'a> {
            user_id: String,
            #[serde(borrow, default)]
            user_info: Option<&'a RawValue>,
        }
        let Data { channel, channel_data } = serde_json::from_str(self.data?.get()).ok()?;
        let Some(channel_data) = channel_data else { return Some(Subscribe { channel, member: None }) };
        let ChannelData { user_id, user_info } = serde_json::from_str(&channel_data).ok()?;
        let user_info = user_info.map_or("null", RawValue::get).to_owned();
        Some(Subscribe { channel, member: Some(Member { user_id, user_info }) })
    }
}

/// Appends the answer to an upgrade, and `pusher:connection_established`.
pub(super) fn push_upgrade(out: &mut Vec<u8>, key: &str, serial: u64) {
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {}\r\n\r\n",
        ws::accept_key(key)
    );
    out.extend_from_slice(head.as_bytes());
    let data = format!(r#"{{"socket_id":"1.{serial}","activity_timeout":120}}"#);
    let text = format!(r#"{{"event":"pusher:connection_established","data":{}}}"#, quote(&data));
    ws::push_server_frame(out, Opcode::Text, text.as_bytes());
}

/// A finished frame.
pub(super) fn frame(opcode: Opcode, payload: &[u8]) -> Rc<[u8]> {
    let mut out = Vec::with_capacity(payload.len() + 10);
    ws::push_server_frame(&mut out, opcode, payload);
    out.into()
}

/// The frame of an event; `name` and `data` are JSON already.
pub(super) fn event(name: &str, channel: &str, data: &str) -> Rc<[u8]> {
    let text = format!(r#"{{"event":{name},"channel":"{channel}","data":{data}}}"#);
    frame(Opcode::Text, text.as_bytes())
}

/// The frame that confirms a subscription; `data` is JSON.
pub(super) fn subscribed(channel: &str, data: &str) -> Rc<[u8]> {
    event(r#""pusher_internal:subscription_succeeded""#, channel, &quote(data))
}

/// The frame that announces a member.
pub(super) fn member(name: &str, channel: &str, member: &Member) -> Rc<[u8]> {
    let data = format!(r#"{{"user_id":{},"user_info":{}}}"#, quote(&member.user_id), member.user_info);
    event(&quote(name), channel, &quote(&data))
}

/// The data of a presence channel's confirmation.
pub(super) fn presence_data<'a>(members: impl Iterator<Item = &'a Member>) -> String {
    let (mut ids, mut hash, mut count) = (String::new(), String::new(), 0_usize);
    for Member { user_id, user_info } in members {
        let comma = if count == 0 { "" } else { "," };
        let id = quote(user_id);
        ids.extend([comma, &id]);
        hash.extend([comma, &id, ":", user_info]);
        count += 1;
    }
    format!(r#"{{"presence":{{"ids":[{ids}],"hash":{{{hash}}},"count":{count}}}}}"#)
}

/// Text as a JSON string.
fn quote(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presence_data_is_what_clients_read() {
        let member = |id: &str| Member { user_id: id.to_owned(), user_info: r#"{"n":1}"#.to_owned() };
        let members = [member("a"), member("b")];
        assert_eq!(
            presence_data(members.iter()),
            r#"{"presence":{"ids":["a","b"],"hash":{"a":{"n":1},"b":{"n":1}},"count":2}}"#
        );
    }

    #[test]
    fn data_goes_out_as_it_came_in() {
        let body = br#"{"name":"e","channels":["c"],"data":"{\"a\":\"\u00e9\"}","socket_id":"1.17"}"#;
        let trigger: Trigger<'_> = serde_json::from_slice(body).unwrap();
        assert_eq!(trigger.except(), Some(17));
        let frame = event(trigger.name.get(), &trigger.channels[0], trigger.data.get());
        assert_eq!(&frame[2..], br#"{"event":"e","channel":"c","data":"{\"a\":\"\u00e9\"}"}"#);
    }

    #[test]
    fn subscribes_with_and_without_member() {
        let frame = |text| serde_json::from_str::<ClientFrame<'_>>(text).unwrap().subscribe().unwrap();
        let plain = frame(r#"{"event":"pusher:subscribe","data":{"channel":"c"}}"#);
        assert!(plain.channel == "c" && plain.member.is_none());
        let presence = frame(
            r#"{"event":"pusher:subscribe","data":{"channel":"presence-c","channel_data":"{\"user_id\":\"u\"}"}}"#,
        );
        let member = presence.member.unwrap();
        assert_eq!((member.user_id.as_str(), member.user_info.as_str()), ("u", "null"));
    }
}
