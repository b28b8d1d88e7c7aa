//! `Idempotency-Key`: a request that comes twice is carried out once.

use std::{
    collections::{HashMap, VecDeque},
    hash::{BuildHasher as _, RandomState},
    sync::Mutex,
    time::{Duration, Instant},
};

use hyper::http::request::Parts;
use serde_json::Value;

use super::error::HttpError;
use crate::lock;

/// How long an answer is remembered.
const KEPT_FOR: Duration = Duration::from_hours(24);
/// How many answers are remembered; beyond it the oldest is forgotten.
const KEPT: usize = 10_000;
const KEY_MAX: usize = 255;

/// The answers of one app.
#[derive(Debug, Default)]
pub(crate) struct Idempotency(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    hasher: RandomState,
    by_key: HashMap<String, Answer>,
    by_age: VecDeque<(Instant, String)>,
}

#[derive(Debug)]
struct Answer {
    /// Of path and body.
    request: u64,
    answer: Option<Value>,
}

impl Idempotency {
    /// Carries the request out, unless one with its key has been: then that one's answer counts. What fails is not
    /// remembered.
    pub(super) fn once(
        &self,
        parts: &Parts,
        body: &[u8],
        now: Instant,
        carry_out: impl FnOnce() -> Result<Option<Value>, HttpError>,
    ) -> Result<Option<Value>, HttpError> {
        let Some(key) = parts.headers.get("idempotency-key") else { return carry_out() };
        let key = key.to_str().map_err(|_| HttpError::IdempotencyKey)?;
        if key.is_empty() || key.len() > KEY_MAX {
            return Err(HttpError::IdempotencyKey);
        }
        // Held while the request is carried out, so that of two at once one waits. Nothing in there waits itself.
        let mut answers = lock(&self.0);
        answers.forget(now);
        let request = answers.hasher.hash_one((parts.uri.path(), body));
        if let Some(known) = answers.by_key.get(key) {
            return if known.request == request {
                Ok(known.answer.clone())
            } else {
                Err(HttpError::IdempotencyConflict)
            };
        }
        let answer = carry_out()?;
        answers.by_key.insert(key.to_owned(), Answer { request, answer: answer.clone() });
        answers.by_age.push_back((now, key.to_owned()));
        Ok(answer)
    }
}

impl Answers {
    fn forget(&mut self, now: Instant) {
        let old = |(since, _): &mut (Instant, String)| now >= *since + KEPT_FOR;
        while let Some((_, key)) = self.by_age.pop_front_if(old) {
            self.by_key.remove(&key);
        }
        if self.by_age.len() >= KEPT
            && let Some((_, key)) = self.by_age.pop_front()
        {
            self.by_key.remove(&key);
        }
    }
}
