//! Pusher signatures, from the client's and the publisher's side.

use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use hmac::{Hmac, KeyInit as _, Mac as _};
use md5::{Digest as _, Md5};
use sha2::Sha256;

/// An app's id, key and secret; the secret is kept keyed, so that signing costs two hash blocks less.
#[derive(Clone)]
pub(crate) struct Credentials {
    pub(crate) app_id: String,
    pub(crate) key: String,
    mac: Hmac<Sha256>,
}

impl Credentials {
    pub(crate) fn new(app_id: &str, key: &str, secret: &str) -> Self {
        let mac = Hmac::new_from_slice(secret.as_bytes()).expect("HMAC takes keys of every length");
        Self { app_id: app_id.to_owned(), key: key.to_owned(), mac }
    }

    /// The `auth` of a `pusher:subscribe`: `key:hex`, over the channel data too where a presence channel has it.
    pub(crate) fn channel(&self, socket_id: &str, channel: &str, channel_data: Option<&str>) -> String {
        let mut text = format!("{socket_id}:{channel}");
        if let Some(data) = channel_data {
            text.push(':');
            text.push_str(data);
        }
        format!("{}:{}", self.key, self.hex(&text))
    }

    /// The query string of a signed `POST`, signature included.
    pub(crate) fn query(&self, path: &str, body: &[u8], unix_seconds: u64) -> String {
        let mut query = format!("auth_key={}&auth_timestamp={unix_seconds}&auth_version=1.0", self.key);
        if !body.is_empty() {
            let digest = HEXLOWER.encode(&Md5::digest(body));
            write!(query, "&body_md5={digest}").expect("a string takes all that is written");
        }
        let signature = self.hex(&format!("POST\n{path}\n{query}"));
        write!(query, "&auth_signature={signature}").expect("a string takes all that is written");
        query
    }

    fn hex(&self, text: &str) -> String {
        let mut mac = self.mac.clone();
        mac.update(text.as_bytes());
        HEXLOWER.encode(&mac.finalize().into_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::Credentials;

    #[test]
    fn private_channel_as_in_pushers_pages() {
        let app = Credentials::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8");
        assert_eq!(
            app.channel("1234.1234", "private-foobar", None),
            "278d425bdf160c739803:58df8b0c36d6982b82c3ecf6b4662e34fe8c25bba48f5369f135bf843651c3a4"
        );
    }

    #[test]
    fn presence_channel_signs_its_data() {
        let app = Credentials::new("3", "foo", "bar");
        assert_eq!(
            app.channel(
                "345.43245",
                "presence-channel",
                Some(r#"{"user_id":"fred","user_info":{"key":"value"}}"#)
            ),
            "foo:e80ba6439492c2113022c39297a87a948de14061cc67b5788e045645a68b8ccd"
        );
    }

    #[test]
    fn request_as_in_pushers_pages() {
        let app = Credentials::new("3", "278d425bdf160c739803", "7ad3773142a6692b25b8");
        let body = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        assert_eq!(
            app.query("/apps/3/events", body, 1_353_088_179),
            "auth_key=278d425bdf160c739803&auth_timestamp=1353088179&auth_version=1.0\
             &body_md5=ec365a775a4cd0599faeb73354201b6f\
             &auth_signature=da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c"
        );
    }
}
