//! The simulation of one run.

use std::ops::ControlFlow;
use std::time::Duration;

use backend_core::{Delivery, Loss, LossCause, Outcome, OutputSink, RunResult, Signal};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::FakeOptions;
use crate::output::Output;
use crate::place::State;

/// A script that is being simulated.
pub(crate) struct Simulation<'a> {
    options: &'a FakeOptions,
    /// Signals arrive by it, and the end of the instance.
    state: watch::Receiver<State>,
    drain_window: Duration,
}

/// How the script ends before its time.
enum Cut {
    /// By a signal that it does not catch.
    Signal(Signal),
    /// By TERM, which it catches.
    Caught,
    /// It may go on, but nobody will know.
    Lost(Loss),
}

impl<'a> Simulation<'a> {
    /// A simulation that hears of signals, and of the end of the instance,
    /// by `state`.
    pub(crate) fn new(
        options: &'a FakeOptions,
        state: watch::Receiver<State>,
        drain_window: Duration,
    ) -> Self {
        Self {
            options,
            state,
            drain_window,
        }
    }

    /// Runs it to its end. `ended` is called when the script has ended, which
    /// its children may not have.
    pub(crate) async fn run(mut self, sink: &mut dyn OutputSink, ended: impl Fn()) -> RunResult {
        let mut delivery = Delivery::new(sink);
        let life = self.live(&mut delivery).await;
        let by_itself = life.is_continue();
        let outcome = match life {
            ControlFlow::Continue(()) => self.own_outcome(),
            ControlFlow::Break(Cut::Signal(signal)) => Outcome::Signaled { signal, oom: false },
            ControlFlow::Break(Cut::Caught) => self.caught(&mut delivery).await,
            ControlFlow::Break(Cut::Lost(loss)) => Outcome::Lost(loss),
        };
        let lost = matches!(outcome, Outcome::Lost(_));
        ended();
        let (leftovers, open) = if lost {
            (Vec::new(), false)
        } else {
            self.drain().await
        };
        let mut result = RunResult::new(outcome, delivery.delivered());
        result.output_complete = delivery.intact() && !lost && !open;
        result.oom_seen = self.options.oom_seen || (self.options.oom && by_itself);
        result.ended_by_engine = self.options.ended_by_engine && by_itself;
        result.leftovers = leftovers;
        result.reconnects = self.options.reconnects;
        result
    }

    /// Prints and sleeps, until the end of it or a cut.
    async fn live(&mut self, delivery: &mut Delivery<'_>) -> ControlFlow<Cut> {
        let options = self.options;
        let began = Instant::now();
        let mut output = Output::of(options);
        let mut printed = 0;
        let until_lost = options.lost_after.map_or(u64::MAX, |size| size.0);
        while let Some(piece) = output.next() {
            if let Some(rate) = options.output_rate {
                self.wait(sleep_until(began + time_for(printed, rate.0)))
                    .await?;
            }
            let most = usize::try_from(until_lost - printed).unwrap_or(usize::MAX);
            let arriving = piece.get(..most).unwrap_or(&piece);
            // A write that was begun is finished: no byte is lost by a signal.
            delivery.write(arriving).await;
            printed += arriving.len() as u64;
            let cut = arriving.len() < piece.len();
            // Not kept while others run: a thousand pieces are a lot.
            drop(piece);
            if cut {
                return ControlFlow::Break(connection_lost());
            }
            self.wait(tokio::task::yield_now()).await?;
        }
        if printed >= until_lost {
            return ControlFlow::Break(connection_lost());
        }
        self.wait(sleep(options.run_sleep)).await?;
        if options.run_hang {
            self.wait(std::future::pending::<()>()).await?;
        }
        if options.withhold_status {
            let loss = Loss::new(LossCause::StatusMissing, "the status was withheld");
            return ControlFlow::Break(Cut::Lost(loss));
        }
        ControlFlow::Continue(())
    }

    /// Waits, unless something happens to the script meanwhile.
    async fn wait(&mut self, what: impl Future<Output = ()>) -> ControlFlow<Cut> {
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                changed = self.state.changed() => {
                    if changed.is_err() {
                        let loss = Loss::new(LossCause::InstanceGone, "the place is gone");
                        return ControlFlow::Break(Cut::Lost(loss));
                    }
                    let state = *self.state.borrow_and_update();
                    if let Some(cut) = self.react(state) {
                        return ControlFlow::Break(cut);
                    }
                }
                () = &mut what => return ControlFlow::Continue(()),
            }
        }
    }

    fn react(&self, state: State) -> Option<Cut> {
        match state {
            State::Gone(cause) => {
                let loss = Loss::new(cause, "the instance was removed while the script ran");
                Some(Cut::Lost(loss))
            }
            State::Running(sent) => sent.iter().find_map(|signal| self.receive(signal)),
            _ => None,
        }
    }

    /// What a signal does to the script.
    fn receive(&self, signal: Signal) -> Option<Cut> {
        let catches = self.options.term_output.is_some() || self.options.term_exit_code.is_some();
        match signal {
            Signal::TERM if self.options.ignore_term => None,
            Signal::TERM if catches => Some(Cut::Caught),
            signal if is_ignored_by_default(signal) => None,
            signal => Some(Cut::Signal(signal)),
        }
    }

    async fn caught(&self, delivery: &mut Delivery<'_>) -> Outcome {
        let last_words = self.options.term_output.as_deref().unwrap_or_default();
        delivery.write(last_words.as_bytes()).await;
        let code = self.options.term_exit_code.unwrap_or(0);
        exit(code)
    }

    /// How the script ends if nothing happens to it.
    fn own_outcome(&self) -> Outcome {
        let options = self.options;
        let signaled = |signal, oom| Outcome::Signaled { signal, oom };
        match options.signal {
            _ if options.oom => signaled(Signal::KILL, true),
            _ if options.ended_by_engine => signaled(Signal::TERM, false),
            Some(signal) => signaled(signal.0, false),
            None => exit(options.exit_code),
        }
    }

    /// Waits for the child that holds the output open, for the drain window at
    /// the most. Gives what is left over, and whether the output is still open.
    async fn drain(&mut self) -> (Vec<String>, bool) {
        let Some(name) = &self.options.leftover else {
            return (Vec::new(), false);
        };
        let ends = self.options.leftover_duration;
        let waits = ends.min(self.drain_window);
        let mut state = self.state.clone();
        let gone = tokio::select! {
            () = sleep(waits) => false,
            _ = state.wait_for(|state| matches!(state, State::Gone(_))) => true,
        };
        if gone {
            // Stopped: the child is gone too, and what it had still to print.
            return (Vec::new(), true);
        }
        if ends <= self.drain_window {
            return (Vec::new(), false);
        }
        (vec![name.clone()], true)
    }
}

fn exit(code: u8) -> Outcome {
    Outcome::Exited {
        code: i32::from(code),
        maybe_signal: None,
    }
}

fn connection_lost() -> Cut {
    let detail = "the connection was lost, as configured by `lost-after`";
    Cut::Lost(Loss::new(LossCause::Connection, detail))
}

/// The signals that do nothing, or only stop or continue, unless they are
/// caught. Source: `signal(7)`.
fn is_ignored_by_default(signal: Signal) -> bool {
    let names = [
        "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "WINCH",
    ];
    signal.name().is_some_and(|name| names.contains(&name))
}

/// How long `bytes` take at `rate` bytes a second.
fn time_for(bytes: u64, rate: u64) -> Duration {
    let rate = rate.max(1);
    let nanoseconds = u128::from(bytes) * 1_000_000_000 / u128::from(rate);
    Duration::from_nanos(u64::try_from(nanoseconds).unwrap_or(u64::MAX))
}
