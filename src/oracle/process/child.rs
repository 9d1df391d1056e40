//! A running command, its pipes served by threads, its whole process group killed at the end.
//!
//! Three threads a child make sure that it never waits for us: one feeds stdin, one empties stdout,
//! one empties stderr. The first two report to one bounded channel, on which the oracle waits with a
//! time limit; a thread stuck in a pipe thus holds up nobody.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Read at once, the size of a pipe on Linux.
const CHUNK: usize = 1 << 16;
/// Events that may wait for the oracle: bounds the memory of unread output.
const EVENTS: usize = 16;
/// Bytes of stderr kept for messages.
const STDERR_KEPT: usize = 4096;
/// How long a child that was told to end may take before it is killed.
const GRACE: Duration = Duration::from_millis(500);

/// What the threads report.
pub(super) enum Event {
    /// A request was written whole.
    Written,
    /// Bytes from stdout.
    Output(Vec<u8>),
    /// Stdout ended.
    End,
}

/// A hold on the process of an oracle that is at work on another thread, with all its copies.
#[derive(Clone, Debug, Default)]
pub struct Leash(Arc<Mutex<Held>>);

#[derive(Debug, Default)]
struct Held {
    groups: Vec<Arc<Mutex<Group>>>,
    /// Whether no other process may be started.
    cut: bool,
}

impl Leash {
    /// Kills the processes, each with its group, if there are any, and lets no other be started.
    pub fn kill(&self) {
        let mut held = lock(&self.0);
        held.cut = true;
        held.groups.drain(..).for_each(|group| {
            lock(&group).kill();
        });
    }

    /// Whether it was killed by this hold.
    pub(super) fn is_cut(&self) -> bool {
        lock(&self.0).cut
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A child and its process group.
#[derive(Debug)]
struct Group {
    child: Child,
    /// How it ended, once it was reaped; until then its id is not given to another process.
    status: Option<ExitStatus>,
}

/// A running command.
pub(super) struct Running {
    group: Arc<Mutex<Group>>,
    /// Requests for the writer; `None` once stdin is to be closed.
    requests: Option<Sender<Vec<u8>>>,
    /// What the threads report; `None` once nobody listens.
    events: Option<Receiver<Event>>,
    stderr: Arc<Mutex<VecDeque<u8>>>,
    stderr_ended: Receiver<()>,
}

impl Running {
    /// Starts `command` in a shell, on the leash.
    pub(super) fn start(command: &str, leash: &Leash) -> io::Result<Self> {
        // Held until the child is on it: none may slip away meanwhile.
        let mut held = lock(&leash.0);
        if held.cut {
            return Err(io::Error::other("it was told to end"));
        }
        let mut child = in_group(shell(command))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let (Some(stdin), Some(stdout), Some(mut stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::Error::other("no pipes"));
        };
        let (to_writer, requests) = channel();
        let (to_oracle, events) = sync_channel(EVENTS);
        let (ending, stderr_ended) = channel();
        let tail = Arc::new(Mutex::new(VecDeque::new()));
        let kept = Arc::clone(&tail);
        let from_writer = to_oracle.clone();
        thread::spawn(move || write_requests(stdin, &requests, &from_writer));
        thread::spawn(move || {
            read_chunks(stdout, |bytes| to_oracle.send(Event::Output(bytes.to_vec())).is_ok());
            to_oracle.send(Event::End).ok();
        });
        thread::spawn(move || {
            read_chunks(&mut stderr, |bytes| {
                let mut kept = lock(&kept);
                kept.extend(bytes);
                let excess = kept.len().saturating_sub(STDERR_KEPT);
                kept.drain(..excess);
                true
            });
            ending.send(()).ok();
        });
        let group = Arc::new(Mutex::new(Group { child, status: None }));
        held.groups.retain(|group| lock(group).status.is_none());
        held.groups.push(Arc::clone(&group));
        Ok(Running {
            group,
            requests: Some(to_writer),
            events: Some(events),
            stderr: tail,
            stderr_ended,
        })
    }

    /// Hands bytes to the writer and returns at once. A child that has closed its stdin is no
    /// failure here: what becomes of it shows on stdout.
    pub(super) fn send(&self, request: Vec<u8>) {
        if let Some(requests) = &self.requests {
            requests.send(request).ok();
        }
    }

    /// The next event; `None` if there is none before `deadline`.
    pub(super) fn event(&self, deadline: Instant) -> Option<Event> {
        let left = deadline.saturating_duration_since(Instant::now());
        self.events.as_ref()?.recv_timeout(left).ok()
    }

    /// The status of a child that has ended, or `None` if it must be killed, and the end of stderr.
    pub(super) fn finish(mut self) -> (Option<ExitStatus>, String) {
        self.hang_up();
        let ended = self.wait(GRACE);
        let status = lock(&self.group).kill();
        // A moment, since a grandchild that left the group may keep the pipe open for good.
        self.stderr_ended.recv_timeout(GRACE).ok();
        let kept = lock(&self.stderr);
        let stderr = String::from_utf8_lossy(&kept.iter().copied().collect::<Vec<u8>>())
            .trim_end()
            .to_owned();
        drop(kept);
        (status.filter(|_| ended), stderr)
    }

    /// The end of stderr of a child that is killed at once.
    pub(super) fn abort(self) -> String {
        lock(&self.group).kill();
        self.finish().1
    }

    /// Ends children that have half a second for it, all at the same time.
    pub(super) fn end(mut children: Vec<Self>) {
        children.iter_mut().for_each(Running::hang_up);
        let end = Instant::now() + GRACE;
        for child in children {
            child.wait(end.saturating_duration_since(Instant::now()));
            lock(&child.group).kill();
        }
    }

    /// Closes stdin, as soon as the writer is done, and stdout.
    fn hang_up(&mut self) {
        self.requests = None;
        self.events = None;
    }

    /// Whether the child ends within `limit`. It is not reaped: its id stays its group's.
    fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pause = Duration::from_micros(100);
        while !lock(&self.group).ended() {
            if Instant::now() >= deadline {
                return false;
            }
            thread::sleep(pause);
            pause = (2 * pause).min(Duration::from_millis(10));
        }
        true
    }
}

impl Group {
    /// Whether the child has ended. It is not reaped.
    #[cfg(unix)]
    fn ended(&mut self) -> bool {
        use rustix::process::{Pid, WaitId, WaitIdOptions, waitid};
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(waitid(WaitId::Pid(Pid::from_child(&self.child)), options), Ok(None))
    }

    #[cfg(not(unix))]
    fn ended(&mut self) -> bool {
        !matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills the child with all its group, if it was not yet, and reaps it.
    fn kill(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            self.kill_group();
            self.status = self.child.wait().ok();
        }
        self.status
    }

    #[cfg(unix)]
    fn kill_group(&mut self) {
        use rustix::process::{Pid, Signal, kill_process_group};
        kill_process_group(Pid::from_child(&self.child), Signal::KILL).ok();
    }

    #[cfg(not(unix))]
    fn kill_group(&mut self) {
        self.child.kill().ok();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.hang_up();
        self.wait(GRACE);
        lock(&self.group).kill();
    }
}

/// Writes until there is nothing more to write, or nobody to read or to report to.
fn write_requests(mut stdin: ChildStdin, requests: &Receiver<Vec<u8>>, events: &SyncSender<Event>) {
    for request in requests {
        if stdin.write_all(&request).is_err() || events.send(Event::Written).is_err() {
            return;
        }
    }
}

/// Hands on all there is to read, until the end, an error, or a receiver that has had enough.
fn read_chunks(mut pipe: impl Read, mut receive: impl FnMut(&[u8]) -> bool) {
    let mut chunk = vec![0; CHUNK];
    loop {
        match pipe.read(&mut chunk) {
            Ok(0) => return,
            Ok(n) if receive(&chunk[..n]) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => return,
        }
    }
}

#[cfg(not(windows))]
fn shell(command: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(command);
    shell
}

#[cfg(windows)]
fn shell(command: &str) -> Command {
    use std::os::windows::process::CommandExt;
    let mut shell = Command::new("cmd");
    // Raw, since cmd has quoting rules of its own.
    shell.arg("/C").raw_arg(command);
    shell
}

#[cfg(unix)]
fn in_group(mut command: Command) -> Command {
    use std::os::unix::process::CommandExt;
    command.process_group(0);
    command
}

#[cfg(not(unix))]
fn in_group(command: Command) -> Command {
    command
}
