//! A run on a thread of its own, which knows no Python: it asks for values, and tells how far it is, over a channel.
//!
//! Whoever called `identify` answers on their own thread, so that f runs where its author expects it, and a signal
//! does not wait for the linear algebra.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use disentangle::identify::{IdentifyError, Settings, Solution, identify};
use disentangle::nalgebra::DMatrix;
use disentangle::oracle::{
    Checkpoint, Clock, FnOracle, Observer, Oracle, OracleError, Progress, Recorded, Stencils,
};
use disentangle::report::Tally;

/// As much as the main thread of a program has.
const STACK: usize = 8 << 20;
/// Within a stage progress is told this often.
const OFTEN: Duration = Duration::from_millis(100);
/// What a run that was told to end may take to let go of its checkpoint. One that is deep in linear algebra takes longer,
/// and is left alone: it asks nothing any more.
const GRACE: Duration = Duration::from_millis(500);

/// What a run says.
pub enum Event {
    /// It needs the outputs at the columns, K x n for d x n.
    Question(DMatrix<f64>),
    Progress(Progress),
    Note(String),
    /// It has ended, perhaps by a panic.
    Ended(Box<thread::Result<Result<Solution, IdentifyError>>>),
}

/// A run under way.
pub struct Worker {
    events: Receiver<Event>,
    /// Without it no question is answered.
    answers: Option<Sender<DMatrix<f64>>>,
    clocks: Clocks,
    pub tally: Tally,
}

impl Worker {
    /// Begins a run on a black box of so many inputs and outputs.
    pub fn start(
        settings: Settings,
        (inputs, outputs): (usize, usize),
        checkpoint: Option<Checkpoint>,
    ) -> io::Result<Worker> {
        let (say, events) = channel();
        let (answers, answered) = channel();
        let clocks = Clocks::default();
        let watch = Watch { say: say.clone(), clocks: clocks.clone(), last: Instant::now() };
        let tally = Tally::new(Box::new(watch));
        let (mut observer, ask) = (tally.clone(), say.clone());
        let mut oracle = FnOracle::fallible(inputs, outputs, move |points| {
            let asked = ask.send(Event::Question(points.clone()));
            asked.ok().and_then(|()| answered.recv().ok()).ok_or(OracleError::Stopped)
        });
        let run = move || match checkpoint {
            None => identify(&mut oracle, &settings, &mut observer),
            Some(checkpoint) => {
                let oracle: &mut dyn Oracle = &mut oracle;
                let mut recorded = Recorded::new(oracle, checkpoint, Stencils::Values);
                identify(&mut recorded, &settings, &mut observer)
            }
        };
        let work = move || {
            let ended = catch_unwind(AssertUnwindSafe(run));
            // Nobody waits for a run that was left alone.
            let _ = say.send(Event::Ended(Box::new(ended)));
        };
        thread::Builder::new().name("disentangle".to_owned()).stack_size(STACK).spawn(work)?;
        Ok(Worker { events, answers: Some(answers), clocks, tally })
    }

    /// What it says next, if it says so within this time.
    pub fn next(&mut self, patience: Duration) -> Result<Event, RecvTimeoutError> {
        self.events.recv_timeout(patience)
    }

    /// Answers its question.
    pub fn answer(&self, outputs: DMatrix<f64>) {
        if let Some(answers) = &self.answers {
            // A run that has ended needs none.
            let _ = answers.send(outputs);
        }
    }

    /// How long the stage under way will last, as far as that is known.
    pub fn left(&self) -> Option<Duration> {
        self.clocks.with(|clocks| clocks.last().and_then(Clock::left))
    }

    /// Tells it to end, and waits a little for that.
    pub fn stop(&mut self) {
        self.answers = None;
        let end = Instant::now() + GRACE;
        loop {
            // Again each time: it may just have begun with another clock.
            self.clocks.with(|clocks| clocks.iter().for_each(Clock::stop));
            match self.events.recv_timeout(GRACE / 10) {
                Ok(Event::Ended(_)) | Err(RecvTimeoutError::Disconnected) => return,
                _ if Instant::now() >= end => return,
                _ => {}
            }
        }
    }
}

/// The clocks of a run, one for each kind of network that it looks for.
#[derive(Clone, Default)]
struct Clocks(Arc<Mutex<Vec<Clock>>>);

impl Clocks {
    fn with<T>(&self, look: impl FnOnce(&mut Vec<Clock>) -> T) -> T {
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Tells the channel how far the run is.
struct Watch {
    say: Sender<Event>,
    clocks: Clocks,
    last: Instant,
}

impl Watch {
    fn say(&mut self, event: Event) {
        self.last = Instant::now();
        // With nobody to hear it the run ends at its next question.
        let _ = self.say.send(event);
    }
}

impl Observer for Watch {
    fn stage(&mut self, progress: Progress) {
        self.say(Event::Progress(progress));
    }

    fn queries(&mut self, progress: Progress) {
        if self.last.elapsed() > OFTEN {
            self.say(Event::Progress(progress));
        }
    }

    fn note(&mut self, text: &str) {
        self.say(Event::Note(text.to_owned()));
    }

    fn clock(&mut self, clock: &Clock) {
        self.clocks.with(|clocks| clocks.push(clock.clone()));
    }
}
