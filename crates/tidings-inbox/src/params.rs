//! What stands in the query and the headers of a call of our own API, read strictly.

use data_encoding::BASE64URL_NOPAD;
use hyper::HeaderMap;
use tidings_protocol::auth::request::percent_decode;

use crate::{http, problem::Problem};

/// So many entries a page has where its reader does not say.
const LIMIT: u32 = 20;
const LIMIT_MAX: u32 = 100;
/// The most characters of an `Idempotency-Key`.
const KEY_MAX: usize = 255;

/// The parameters of a query.
pub(crate) struct Params(Vec<(String, String)>);

/// Which part of a list is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The number of the last entry of the page before.
    pub(crate) after: Option<i64>,
    /// So many entries at most.
    pub(crate) limit: u32,
}

impl Params {
    /// Reads a query in which nothing but these may stand, and each once.
    pub(crate) fn read(query: Option<&str>, known: &[&str]) -> Result<Self, Problem> {
        let mut params: Vec<(String, String)> = Vec::new();
        for pair in query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let [name, value] =
                [name, value].map(|text| percent_decode(&text.replace('+', " ")).into_owned());
            if !known.contains(&name.as_str()) {
                return Err(Problem::Unreadable(match known {
                    [] => format!("there is no parameter {name:?} here"),
                    _ => format!("there is no parameter {name:?}; there are {}", known.join(", ")),
                }));
            }
            if params.iter().any(|(other, _)| *other == name) {
                return Err(Problem::Unreadable(format!("{name} is there twice")));
            }
            params.push((name, value));
        }
        Ok(Params(params))
    }

    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn switch(&self, name: &str) -> Result<Option<bool>, Problem> {
        match self.text(name) {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(_) => Err(Problem::Unreadable(format!("{name} must be true or false"))),
        }
    }

    /// What `cursor` and `limit` ask for.
    pub(crate) fn page(&self) -> Result<Page, Problem> {
        let bad_cursor =
            || Problem::Unacceptable("cursor must be the next_cursor of the page before".to_owned());
        let bad_limit = || Problem::Unreadable(format!("limit must be a number from 1 to {LIMIT_MAX}"));
        let after = self.text("cursor").map(|text| parse_cursor(text).ok_or_else(bad_cursor)).transpose()?;
        let limit = match self.text("limit") {
            None => LIMIT,
            Some(text) => text
                .parse()
                .ok()
                .filter(|limit| (1..=LIMIT_MAX).contains(limit) && text.bytes().all(|b| b.is_ascii_digit()))
                .ok_or_else(bad_limit)?,
        };
        Ok(Page { after, limit })
    }
}

impl Page {
    /// So many are to be read, one more than shown: it tells whether there is a next page.
    pub(crate) fn wanted(self) -> u32 {
        self.limit + 1
    }

    /// Cuts what was read to the page, and gives the next one's cursor.
    pub(crate) fn cut<T>(self, found: &mut Vec<T>, number: impl Fn(&T) -> i64) -> Option<String> {
        let limit = self.limit as usize;
        if found.len() <= limit {
            return None;
        }
        found.truncate(limit);
        found.last().map(|last| cursor(number(last)))
    }
}

/// The sender's word for a call that may be repeated.
pub(crate) fn idempotency_key(headers: &HeaderMap) -> Result<Option<&str>, Problem> {
    if !headers.contains_key("idempotency-key") {
        return Ok(None);
    }
    let key = http::header(headers, "idempotency-key").map(str::trim);
    key.filter(|key| (1..=KEY_MAX).contains(&key.len())).map(Some).ok_or_else(|| {
        Problem::Unreadable(format!("Idempotency-Key must have 1 to {KEY_MAX} ASCII characters"))
    })
}

fn cursor(number: i64) -> String {
    BASE64URL_NOPAD.encode(&number.to_be_bytes())
}

fn parse_cursor(text: &str) -> Option<i64> {
    let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
    let number = i64::from_be_bytes(bytes.try_into().ok()?);
    (number > 0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[&str] = &["cursor", "limit", "tag", "unread"];

    fn params(query: &str) -> Params {
        Params::read(Some(query), KNOWN).expect("parameters")
    }

    #[test]
    fn pages_follow_each_other() {
        let first = params("limit=2").page().expect("a page");
        assert_eq!((first, first.wanted()), (Page { after: None, limit: 2 }, 3));
        let mut found = vec![9, 7, 5];
        let cursor = first.cut(&mut found, |number| *number).expect("a cursor");
        assert_eq!(found, [9, 7]);
        let next = params(&format!("cursor={cursor}&limit=2")).page().expect("a page");
        assert_eq!(next, Page { after: Some(7), limit: 2 });
        assert_eq!(next.cut(&mut vec![5, 3], |number| *number), None);
        assert_eq!(params("").page().expect("a page"), Page { after: None, limit: 20 });
    }

    #[test]
    fn refuses_what_is_none() {
        for bad in [
            "limit=0",
            "limit=101",
            "limit=x",
            "limit=",
            "limit=%2B5",
            "cursor=",
            "cursor=x",
            "cursor=AAAAAAAAAAA",
        ] {
            params(bad).page().expect_err(bad);
        }
        for bad in ["other=1", "tag=a&tag=b", "=", "Tag=a"] {
            assert!(Params::read(Some(bad), KNOWN).is_err(), "{bad}");
        }
        params("unread=yes").switch("unread").expect_err("neither true nor false");
        assert_eq!(params("unread=false&tag=a+%26").switch("unread").expect("a switch"), Some(false));
        assert_eq!(params("tag=a+%26").text("tag"), Some("a &"));
    }
}
