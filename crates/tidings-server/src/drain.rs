//! How a server leaves without a storm: readiness fails first, then the sockets are closed spread over a window.

use std::{sync::Arc, time::Duration};

use tidings_protocol::Close;
use tokio::{sync::mpsc, time::MissedTickBehavior};

use crate::{node::Node, ws::socket::Socket};

/// How a server is to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drain {
    /// It goes on as before for so long, only that it says it is not ready: load balancers have that long to notice.
    pub delay: Duration,
    /// Then its sockets are closed evenly over this time, or sooner where there are few: a hundred per second is no
    /// storm.
    pub window: Duration,
}

/// How far a server is on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// It has not been told to leave.
    Serving,
    /// It says that it is not ready, and takes everything still.
    Leaving,
    /// It takes no more sockets and closes those it has; requests are answered.
    Closing,
    /// It listens no more, and finishes what is under way.
    Ending,
}

/// How often sockets are closed in the window.
const STEP: Duration = Duration::from_millis(10);
/// Peers have this long to answer the close frame, and requests under way to be answered.
const FAREWELL: Duration = Duration::from_secs(5);

impl Drain {
    /// Everybody is told at once.
    pub const AT_ONCE: Drain = Drain { delay: Duration::ZERO, window: Duration::ZERO };
}

/// Waits for the order to leave, and while load balancers notice. A further order replaces what is left of the one before.
/// When nobody can give orders any more, it leaves at once.
pub(crate) async fn wait(node: &Node, orders: &mut mpsc::Receiver<Drain>) -> Drain {
    let mut drain = orders.recv().await.unwrap_or(Drain::AT_ONCE);
    node.enter(Phase::Leaving);
    let since = node.clock.now();
    loop {
        // Of whatever order: load balancers notice since the first.
        let delay = drain.delay.saturating_sub(node.clock.now() - since);
        if delay.is_zero() {
            return drain;
        }
        tracing::info!(?delay, "not ready any more; new connections are taken for this long");
        tokio::select! {
            () = node.clock.tick(delay) => {}
            next = next_order(orders) => drain = next,
        }
    }
}

/// Returns when every socket has been told to come back.
pub(crate) async fn close_sockets(node: &Node, mut drain: Drain, orders: &mut mpsc::Receiver<Drain>) {
    node.enter(Phase::Closing);
    let mut rest = node.all_sockets();
    if !rest.is_empty() {
        tracing::info!(sockets = rest.len(), window = ?drain.window, "closing the sockets");
    }
    while !rest.is_empty() {
        tokio::select! {
            () = close_all(&mut rest, drain.window) => {}
            next = next_order(orders) => drain = next,
        }
    }
}

/// Returns when the peers have answered, or their time is over. To be called when the listener is gone.
pub(crate) async fn farewell(node: &Node) {
    node.enter(Phase::Ending);
    let told = async {
        while node.open_sockets() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        node.requests_done().await;
    };
    if tokio::time::timeout(FAREWELL, told).await.is_err() {
        tracing::warn!(sockets = node.open_sockets(), "not everybody answered the farewell in time");
    }
}

/// The next order; never, if there can be none.
async fn next_order(orders: &mut mpsc::Receiver<Drain>) -> Drain {
    match orders.recv().await {
        Some(drain) => drain,
        None => std::future::pending().await,
    }
}

async fn close_all(rest: &mut Vec<Arc<Socket>>, window: Duration) {
    let mut spread = Spread::new(rest.len(), window);
    let mut ticks = tokio::time::interval(STEP);
    // After a pause the rest is not hurried: that would be the storm.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while !rest.is_empty() {
        ticks.tick().await;
        for socket in rest.drain(rest.len() - spread.next()..) {
            socket.want_close(Close::Restart);
        }
    }
}

/// So many things, in steps that differ by one at most.
struct Spread {
    things: usize,
    steps: usize,
    step: usize,
}

impl Spread {
    /// One step for each [`STEP`] of the window, and no more steps than things.
    fn new(things: usize, window: Duration) -> Self {
        let steps = usize::try_from(window.as_millis() / STEP.as_millis()).unwrap_or(usize::MAX);
        Spread { things, steps: steps.min(things).max(1), step: 0 }
    }

    /// How many in the next step.
    fn next(&mut self) -> usize {
        let done = self.things * self.step / self.steps;
        self.step += 1;
        self.things * self.step / self.steps - done
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(things: usize, window_ms: u64, expected: &[usize]) {
        let mut spread = Spread::new(things, Duration::from_millis(window_ms));
        let steps: Vec<_> = (0..expected.len()).map(|_| spread.next()).collect();
        assert_eq!(steps, expected, "{things} in {window_ms} ms");
        assert_eq!(steps.iter().sum::<usize>(), things);
    }

    #[test]
    fn evenly_over_the_window_and_few_sooner() {
        check(3, 0, &[3]);
        check(3, 60_000, &[1, 1, 1]);
        check(10, 40, &[2, 3, 2, 3]);
        check(5_000, 50, &[1_000; 5]);
        check(1, 9, &[1]);
    }
}
