//! One thread for each core, each with a runtime of its own.
//!
//! A connection stays on the core that accepted it. Threads that share their tasks wake each other whenever one has
//! two to do, which costs more than most of what is to be done here.

use std::{
    cell::Cell,
    io,
    sync::Arc,
    thread::{self, available_parallelism},
};

use tokio::{
    runtime::{Builder, EnterGuard, Handle},
    sync::Notify,
    task::JoinHandle,
};

thread_local! {
    /// The number of the core that this thread is.
    static HERE: Cell<usize> = const { Cell::new(0) };
}

/// The threads that serve. They end, and all their tasks with them, when this is dropped.
#[derive(Debug)]
pub(crate) struct Cores(Vec<Core>);

#[derive(Debug)]
struct Core {
    runtime: Handle,
    stop: Arc<Notify>,
}

impl Cores {
    /// Starts a thread for each core that this process may use.
    pub(crate) fn start() -> io::Result<Self> {
        let count = available_parallelism().map_or(1, usize::from);
        (0..count).map(Core::start).collect::<io::Result<_>>().map(Cores)
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Within the guard's life, sockets are made for this core.
    pub(crate) fn enter(&self, core: usize) -> EnterGuard<'_> {
        self.0[core].runtime.enter()
    }

    /// Spawns a task on a core. What it spawns stays on the same.
    pub(crate) fn spawn(
        &self,
        core: usize,
        task: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        self.0[core].runtime.spawn(task)
    }

    /// The number of the core that this thread is; the first, for threads that are none.
    pub(crate) fn here() -> usize {
        HERE.get()
    }
}

impl Core {
    fn start(number: usize) -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let core = Core { runtime: runtime.handle().clone(), stop: Arc::default() };
        let stop = core.stop.clone();
        thread::Builder::new().name(format!("core-{number}")).spawn(move || {
            HERE.set(number);
            runtime.block_on(stop.notified());
        })?;
        Ok(core)
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        self.stop.notify_one();
    }
}
