//! Runs scenarios step by step, and API vectors as scenarios of one more step.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

use super::{
    Outcome,
    app::{CratesHashes, app},
    client::Client,
    format::{
        self, Api, AppSettings, Apps, Connect, Credentials, Fill, HttpRequest, Scenario, SocketStep, Step,
        Text,
    },
    world::{Idle, LATE, WALL, World},
};

/// Runs it; the error says which step went otherwise, and how.
pub(crate) async fn run(scenario: &Scenario, apps: &Apps, idle: Idle) -> Outcome {
    let served = vec![app(&apps.app, &scenario.app), app(&apps.other, &AppSettings::default())];
    let mut run = Run { world: World::start(served, WALL, idle).await, app: apps.app.clone() };
    run.sockets(&scenario.sockets).await?;
    run.steps(&scenario.steps).await?;
    run.last_look().await
}

/// A scenario of a vector that is written in another form. `app` and `steps` are as in the files.
pub(crate) fn of(app: Value, sockets: &[&str], steps: Value) -> Scenario {
    Scenario {
        name: String::new(),
        source: String::new(),
        only: None,
        app: serde_json::from_value(app).expect("settings of an app"),
        sockets: sockets.iter().map(|name| (*name).to_owned()).collect(),
        steps: serde_json::from_value(steps).expect("steps"),
    }
}

/// A scenario that is under way.
pub(crate) struct Run {
    pub(crate) world: World,
    /// The app under test.
    pub(crate) app: Credentials,
}

impl Run {
    /// These connect, one after the other, and are greeted.
    pub(crate) async fn sockets(&mut self, names: &[String]) -> Outcome {
        for name in names {
            let step = SocketStep { connect: Some(Connect::default()), ..SocketStep::default() };
            let step = Step { sockets: [(name.clone(), step)].into(), ..Step::default() };
            self.step(&step).await.map_err(|wrong| format!("at the beginning:\n{wrong}"))?;
        }
        Ok(())
    }

    pub(crate) async fn steps(&mut self, steps: &[Step]) -> Outcome {
        for (index, step) in steps.iter().enumerate() {
            let step = self.step(step).await;
            step.map_err(|wrong| format!("step {} of {}:\n{wrong}", index + 1, steps.len()))?;
        }
        Ok(())
    }

    /// Steps written as in the files.
    pub(crate) async fn json(&mut self, steps: Value) -> Outcome {
        let steps: Vec<Step> = serde_json::from_value(steps).expect("steps");
        self.steps(&steps).await
    }

    /// Nothing has come in any step that came too late to be seen in it.
    pub(crate) async fn last_look(&mut self) -> Outcome {
        self.world.last_look().await;
        let wrong = self.compare(&Step::default());
        if wrong.is_empty() { Ok(()) } else { Err(format!("after the last step:\n{wrong}")) }
    }

    async fn step(&mut self, step: &Step) -> Outcome {
        let mut wrong = String::new();
        if let Some(at_s) = step.at_s {
            self.world.advance_to(Duration::from_secs_f64(at_s)).await;
        }
        if let Some(request) = step.request(&self.app) {
            wrong += &self.request(&request).await;
        }
        if let Some(crowd) = &step.crowd {
            let subscribe =
                serde_json::json!({"event": "pusher:subscribe", "data": {"channel": crowd.channel}});
            for _ in 0..crowd.sockets {
                self.world.join_crowd(&subscribe.to_string()).await;
            }
        }
        if let Some((name, step)) = step.sockets.iter().find(|(_, step)| step.acts()) {
            self.act(name, step).await;
        }
        self.world.settle().await;
        // What is missing may be late; what is wrong stays wrong.
        let late = async {
            while !self.compare(step).is_empty() {
                self.world.settle().await;
            }
        };
        if timeout(LATE, late).await.is_err() {
            wrong += &self.compare(step);
        }
        self.world.forget();
        if wrong.is_empty() { Ok(()) } else { Err(wrong) }
    }

    async fn act(&mut self, name: &str, step: &SocketStep) {
        if let Some(connect) = &step.connect {
            self.world.connect(name, connect).await;
        }
        let text = step.send.as_ref().map(|frame| self.fill(Some(name)).frame(frame));
        let text = text.or_else(|| step.send_text.as_ref().map(Text::text));
        let client = self.world.client(name);
        for text in text.iter().cycle().take(text.iter().len() * step.times.unwrap_or(1)) {
            client.text(text).await;
        }
        if let Some(binary) = &step.send_binary {
            client.write(Frame::message(binary.text(), OpCode::Data(Data::Binary), true)).await;
        }
        if step.send_ping_frame {
            client.ping(0).await;
        }
        if step.send_pong_frame {
            client.unasked_pong().await;
        }
        if step.close {
            client.close().await;
        }
    }

    fn fill<'a>(&'a self, own: Option<&'a str>) -> Fill<'a> {
        Fill { app: &self.app, own, socket_ids: self.world.socket_ids(), hashes: &CratesHashes }
    }

    /// Sends a request; what is wrong with the answer.
    pub(crate) async fn request(&mut self, api: &Api) -> String {
        let fill = self.fill(None);
        let request: HttpRequest = fill.request(api, self.world.now_s());
        let expected = api.reply.as_ref().map(|reply| fill.value(reply));
        let (status, body) = self.world.request(&request).await;
        let reply_is = |expected: &Value| {
            serde_json::from_str(&body).is_ok_and(|got: Value| format::matches(expected, &got))
        };
        let text_is = |expected: &String| format::text_matches(expected.trim_end(), body.trim_end());
        let as_expected = status == api.status
            && expected.as_ref().is_none_or(reply_is)
            && api.reply_text.as_ref().is_none_or(text_is);
        if as_expected {
            return String::new();
        }
        let expected = expected.map(|reply| reply.to_string()).or_else(|| api.reply_text.clone());
        let expected = expected.unwrap_or_default();
        let Api { request, status: expected_status, .. } = api;
        format!("  {request}\n    expected {expected_status} {expected}\n    got      {status} {body}\n")
    }

    /// What the clients have received that is not what the step says, and the other way round.
    fn compare(&self, step: &Step) -> String {
        let silent = SocketStep::default();
        let mut wrong = String::new();
        for (name, client) in &self.world.clients {
            let step = step.sockets.get(name).unwrap_or(&silent);
            for difference in differences(client, step, &self.fill(Some(name))) {
                writeln!(wrong, "  {name}: {difference}").expect("a string takes it");
            }
        }
        wrong
    }
}

fn differences(client: &Client, step: &SocketStep, fill: &Fill<'_>) -> Vec<String> {
    let Client { frames, pings, closed, .. } = client;
    let mut differences = Vec::new();
    let expected: Vec<Value> = step.gets().iter().map(|frame| fill.value(frame)).collect();
    let same = expected.len() == frames.len()
        && expected.iter().zip(frames).all(|(expected, text)| format::frame_matches(expected, text));
    if !same {
        let expected: Vec<String> = expected.iter().map(Value::to_string).collect();
        differences.push(format!("expected {}\n     got      {}", list(&expected), list(frames)));
    }
    if *pings != usize::from(step.gets_ping_frame) {
        differences.push(format!("got {pings} PING frames"));
    }
    if closed.as_ref().map(|(code, _)| *code) != step.closed {
        differences.push(format!("expected close {:?}, got {closed:?}", step.closed));
    }
    let last = frames.last().and_then(|text| serde_json::from_str::<Value>(text).ok());
    if let (Some((_, reason)), Some(last)) = (closed, last)
        && last["data"]["message"] != **reason
    {
        differences.push(format!("the reason is {reason:?}, the last frame {last}"));
    }
    differences
}

fn list(frames: &[String]) -> String {
    let shown: Vec<String> = frames.iter().map(|frame| frame.chars().take(600).collect()).collect();
    if shown.is_empty() { "nothing".to_owned() } else { shown.join("\n              ") }
}
