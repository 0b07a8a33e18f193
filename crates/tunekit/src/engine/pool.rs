//! `Pool`: trials of a tuner that wait for agents elsewhere, and the agents' connections.
//!
//! An agent is `tunekit worker`, which speaks the lines of a server to many workers (`docs/SERVE.md`): it greets with
//! the token, compares the header, and then asks for a trial, reports and tells, one trial at a time. The tuner
//! decides; the pool hands on.
//!
//! A trial whose agent is lost, by the end of its connection or by silence, is handed to another agent: neither failed
//! nor doubled, for only the connection that holds a trial may report it. Dropping the future of [`Pool::run`] closes
//! that connection, upon which the agent ends the program.

use std::collections::{BTreeSet, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value as Json, json};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::timeout;

use super::greeting::Greeting;
use super::token::Token;
use super::trial_run::TrialRun;
use crate::rules::study::TellError;
use crate::words::event::{Event, Header};
use crate::words::trial::{Decision, Measured, Outcome, TrialId};

/// The longest line that an agent may send.
const LONGEST_LINE: u64 = 4 << 20;
/// An agent has so long to greet.
const TO_GREET: Duration = Duration::from_secs(10);
/// An ask is held so long before it is answered with `wait`; an agent that died meanwhile shows by then.
const HOLD: Duration = Duration::from_secs(5);
/// An agent that does not say how often it is heard is lost after this silence.
const SILENCE: Duration = Duration::from_secs(30);
/// The shortest and the longest time between two signs of life, in seconds.
const HEARTBEAT: std::ops::RangeInclusive<f64> = 0.1..=60.0;
/// A trial that lost so many agents has failed: it may be the cause.
const MOST_LOSSES: u32 = 5;

/// Trials that wait for agents, and agents that wait for trials.
#[derive(Debug)]
pub(super) struct Pool {
    shared: Arc<Shared>,
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

#[derive(Debug)]
struct Shared {
    header: Header,
    token: Token,
    state: Mutex<State>,
    /// A trial was added.
    added: Notify,
    closing: watch::Sender<bool>,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Offer>,
    /// Agents that are connected.
    connected: usize,
    /// Agents without a trial that ask for one, or will with their next line.
    idle: usize,
    /// Whether a run was dropped while an agent had its trial.
    has_cut_short: bool,
    /// The jobs whose agents have greeted.
    greeted: BTreeSet<String>,
}

/// A trial that waits for an agent.
#[derive(Debug)]
struct Offer {
    trial: TrialId,
    facts: Json,
    /// To the trial's run; closed once nobody waits for the trial.
    to: mpsc::UnboundedSender<Said>,
}

/// An agent's message about its trial.
#[derive(Debug)]
enum Said {
    Report { step: u64, measured: Measured, answer: oneshot::Sender<Result<Decision, TellError>> },
    Told(Outcome),
}

/// The state of the pool.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) waiting: usize,
    pub(super) connected: usize,
    pub(super) idle: usize,
}

/// One line of an agent.
#[derive(Deserialize)]
#[serde(tag = "op", rename_all = "lowercase")]
enum Request {
    Ping {},
    Header {},
    Ask {},
    Report {
        trial: TrialId,
        resource: u64,
        value: Option<f64>,
        #[serde(default)]
        more: Vec<f64>,
        #[serde(default)]
        constraints: Vec<f64>,
        cost: Option<f64>,
    },
    Tell(Told),
}

#[derive(Deserialize)]
struct Told {
    trial: TrialId,
    value: Option<f64>,
    at_least: Option<f64>,
    failed: Option<String>,
    timed_out: Option<String>,
    infeasible: Option<String>,
    #[serde(default)]
    more: Vec<f64>,
    #[serde(default)]
    constraints: Vec<f64>,
    cost: Option<f64>,
}

impl Told {
    fn outcome(self) -> Outcome {
        let Self { value, at_least, failed, timed_out, infeasible, more, constraints, cost, trial: _ } = self;
        let failed = failed.map(Outcome::Failed);
        let failed = failed.or(timed_out.map(Outcome::TimedOut)).or(infeasible.map(Outcome::Infeasible));
        match (failed, value, at_least) {
            (Some(failed), ..) => failed,
            (None, Some(value), _) => Measured { value, is_bound: false, more, constraints, cost }.into(),
            (None, None, Some(value)) => Measured { value, is_bound: true, more, constraints, cost }.into(),
            (None, None, None) => Outcome::Done,
        }
    }
}

impl Pool {
    /// A pool for agents that connect to this address.
    pub(super) async fn bind(address: SocketAddr, header: Header, token: Token) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            header,
            token,
            state: Mutex::default(),
            added: Notify::new(),
            closing: watch::Sender::new(false),
        });
        let accepting = tokio::spawn(accept(listener, shared.clone()));
        Ok(Self { shared, address, accepting })
    }

    /// The address that agents connect to.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(super) fn standing(&self) -> Standing {
        let mut state = self.shared.lock();
        state.waiting.retain(|offer| !offer.to.is_closed());
        Standing { waiting: state.waiting.len(), connected: state.connected, idle: state.idle }
    }

    /// Whether an agent of this job has greeted.
    pub(super) fn has_greeted(&self, job: &str) -> bool {
        self.shared.lock().greeted.contains(job)
    }

    /// Whether a run was dropped while an agent had its trial: the agent may still be ending the program.
    pub(super) fn has_cut_short(&self) -> bool {
        self.shared.lock().has_cut_short
    }

    /// Lets agents go: each is told that the study is over when it next asks.
    pub(super) fn close(&self) {
        self.shared.closing.send_replace(true);
    }

    /// Runs a trial with an agent.
    pub(super) async fn run(&self, mut trial: TrialRun) -> Result<Outcome, String> {
        let mut losses = 0;
        let mut open = Open { shared: &self.shared, trial: trial.id(), is_over: false };
        loop {
            let (to, mut heard) = mpsc::unbounded_channel();
            self.shared.offer(Offer { trial: trial.id(), facts: facts(&trial, losses), to });
            let mut is_paused = false;
            while let Some(said) = heard.recv().await {
                match said {
                    Said::Report { step, measured, answer } => {
                        let decision = trial.report_at(step, measured).await;
                        is_paused = is_paused || decision == Ok(Decision::Pause);
                        // An agent that is gone shows by the channel's end.
                        let _ = answer.send(decision);
                    }
                    Said::Told(outcome) => {
                        open.is_over = true;
                        return Ok(outcome);
                    }
                }
            }
            if is_paused {
                open.is_over = true;
                // The agent has ended the program, or is gone. The checkpoint was kept before the answer.
                return Ok(Outcome::Done);
            }
            losses += 1;
            if losses >= MOST_LOSSES {
                open.is_over = true;
                return Err(format!("its agent was lost {losses} times; see the logs of the jobs in `slurm`"));
            }
            tracing::warn!(trial = %trial.id(), losses, "an agent was lost; its trial waits for another one");
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The answer to an ask: as a server's, with the facts that only the tuner has.
fn facts(trial: &TrialRun, losses: u32) -> Json {
    let after = Some(trial.next_step() - 1).filter(|step| *step > 0);
    let absolute = |path: &std::path::Path| std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    json!({
        "trial": trial.id(),
        "config": trial.config(),
        "resource": trial.resource(),
        "resumed": trial.resumed(),
        "from": trial.from(),
        "after": after,
        "attempt": trial.attempt().saturating_add(losses),
        "spent": trial.cost(),
        "checkpoint": trial.checkpoint().map(absolute),
    })
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer(&self, offer: Offer) {
        self.lock().waiting.push_back(offer);
        self.added.notify_one();
    }

    /// The next trial that somebody still waits for. Dropping the future takes nothing.
    async fn take(&self) -> Offer {
        loop {
            // Before the check, so that a later addition is noticed.
            let added = self.added.notified();
            {
                let mut state = self.lock();
                while let Some(offer) = state.waiting.pop_front() {
                    if !offer.to.is_closed() {
                        return offer;
                    }
                }
            }
            added.await;
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut agents = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => drop(agents.spawn(agent(shared.clone(), stream))),
                Err(error) => {
                    tracing::warn!(%error, "a connection cannot be accepted");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            },
            Some(_) = agents.join_next() => {}
        }
    }
}

/// Counts something as long as it lives.
struct Counted<'a> {
    shared: &'a Shared,
    of: fn(&mut State) -> &mut usize,
}

impl<'a> Counted<'a> {
    fn new(shared: &'a Shared, of: fn(&mut State) -> &mut usize) -> Self {
        *of(&mut shared.lock()) += 1;
        Self { shared, of }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        *(self.of)(&mut self.shared.lock()) -= 1;
    }
}

/// A run until it is over.
struct Open<'a> {
    shared: &'a Shared,
    trial: TrialId,
    is_over: bool,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut state = self.shared.lock();
        // An offer that still waits was not taken.
        let is_taken = !state.waiting.iter().any(|offer| offer.trial == self.trial);
        state.has_cut_short |= is_taken && !self.is_over;
    }
}

/// An agent from its greeting to its end.
async fn agent(shared: Arc<Shared>, stream: TcpStream) {
    if let Err(error) = converse(&shared, stream).await {
        tracing::debug!(%error, "an agent's connection ended");
    }
}

/// The way an ask ended.
enum Asked {
    Trial(Offer),
    Wait,
    Done,
    Gone,
}

async fn converse(shared: &Shared, stream: TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (input, mut output) = stream.into_split();
    let mut input = BufReader::new(input);
    let line = timeout(TO_GREET, read_line(&mut input)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let greeting = match Greeting::read(&line, Some(&shared.token), HEARTBEAT) {
        Ok(greeting) => greeting,
        Err(refusal) => return output.write_all(format!("{refusal}\n").as_bytes()).await,
    };
    let patience = greeting.patience.unwrap_or(SILENCE);
    // An agent that only looks whether the tuner is there has another connection, which counts.
    let is_agent = !greeting.is_probe;
    let _connected = is_agent.then(|| Counted::new(shared, |state| &mut state.connected));
    // Before its job has greeted, so that at every moment one of the two shows that no other job is needed for it.
    let count_idle = || Counted::new(shared, |state| &mut state.idle);
    let mut idle = is_agent.then(count_idle);
    if let Some(job) = greeting.job {
        shared.lock().greeted.insert(job);
    }
    output.write_all(b"{\"ok\":true}\n").await?;
    // Dropped, it tells the trial's run that the agent is lost, or done with a trial that paused.
    let mut held: Option<Offer> = None;
    let mut closing = shared.closing.subscribe();
    loop {
        let reading = timeout(patience, read_line(&mut input));
        let line = match &held {
            None => reading.await,
            Some(offer) => tokio::select! {
                biased;
                line = reading => line,
                // Nobody wants the trial any more: the end of the connection ends the program.
                () = offer.to.closed() => return Ok(()),
            },
        };
        let line = line.map_err(|_| io::ErrorKind::TimedOut)??;
        let answer = match serde_json::from_slice(&line) {
            Err(error) => json!({ "error": format!("not a request: {error}") }),
            Ok(Request::Ping {}) => json!({ "ok": true }),
            Ok(Request::Header {}) => {
                serde_json::to_value(Event::Header(Box::new(shared.header.clone()))).map_err(io::Error::other)?
            }
            Ok(Request::Ask {}) => {
                held = None;
                idle.get_or_insert_with(count_idle);
                let asked = tokio::select! {
                    biased;
                    _ = closing.wait_for(|closing| *closing) => Asked::Done,
                    offer = shared.take() => Asked::Trial(offer),
                    // Nothing may come before the answer but the end.
                    _ = input.fill_buf() => Asked::Gone,
                    () = tokio::time::sleep(HOLD) => Asked::Wait,
                };
                match asked {
                    Asked::Trial(offer) => {
                        idle = None;
                        let line = format!("{}\n", offer.facts);
                        if let Err(error) = output.write_all(line.as_bytes()).await {
                            // It never reached the agent, so that this is no loss of the trial's.
                            shared.offer(offer);
                            return Err(error);
                        }
                        held = Some(offer);
                        continue;
                    }
                    Asked::Wait => json!({ "wait": true, "pause_s": 0 }),
                    Asked::Done => json!({ "done": true }),
                    Asked::Gone => return Ok(()),
                }
            }
            Ok(Request::Report { trial, resource, value, more, constraints, cost }) => match held_by(&held, trial) {
                Err(error) => error,
                Ok(offer) => {
                    let (answer, decision) = oneshot::channel();
                    let value = value.unwrap_or(f64::NAN);
                    let measured = Measured { more, constraints, cost, ..Measured::new(value) };
                    let _ = offer.to.send(Said::Report { step: resource, measured, answer });
                    match decision.await {
                        Ok(Ok(decision)) => json!({ "decision": decision }),
                        Ok(Err(error)) => json!({ "error": error.to_string() }),
                        // The run was dropped.
                        Err(_) => return Ok(()),
                    }
                }
            },
            Ok(Request::Tell(told)) => match held_by(&held, told.trial) {
                Err(error) => error,
                Ok(offer) => {
                    let _ = offer.to.send(Said::Told(told.outcome()));
                    held = None;
                    json!({ "ok": true })
                }
            },
        };
        output.write_all(format!("{answer}\n").as_bytes()).await?;
    }
}

/// The trial that this agent holds, if it is the one it speaks of.
fn held_by(held: &Option<Offer>, trial: TrialId) -> Result<&Offer, Json> {
    let error = || json!({ "error": format!("trial {trial} was not given out on this connection; ask for one") });
    held.as_ref().filter(|offer| offer.trial == trial).ok_or_else(error)
}

/// A line with its end; the end of the connection is an error.
async fn read_line(input: &mut BufReader<OwnedReadHalf>) -> io::Result<Vec<u8>> {
    let mut line = Vec::new();
    input.take(LONGEST_LINE).read_until(b'\n', &mut line).await?;
    if line.last() == Some(&b'\n') { Ok(line) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::study::Setup;
    use crate::words::domain::Domain;
    use crate::words::metric::Metric;
    use crate::words::space::Space;
    use crate::words::trial::Assignment;
    use crate::words::value::Config;

    const TOKEN: &str = "0123456789abcdef";

    async fn pool() -> Pool {
        let space = Space::new().with("x", Domain::float(0.0, 1.0).unwrap()).unwrap();
        let header = Setup::new(space, Metric::minimize("loss")).header().unwrap();
        Pool::bind(([127, 0, 0, 1], 0).into(), header, Token::new(TOKEN).unwrap()).await.unwrap()
    }

    fn trial(id: u64, reports: mpsc::UnboundedSender<crate::engine::trial_run::Message>) -> TrialRun {
        let job = Assignment {
            trial: TrialId(id),
            config: Config::default(),
            resource: None,
            resumed: false,
            from: None,
            after: None,
            attempt: 1,
        };
        TrialRun::new(job, 0, 1, Default::default(), None, reports)
    }

    struct Agent {
        input: BufReader<OwnedReadHalf>,
        output: tokio::net::tcp::OwnedWriteHalf,
    }

    impl Agent {
        async fn greet(pool: &Pool, token: &str) -> (Self, Json) {
            let (input, output) = TcpStream::connect(pool.address()).await.unwrap().into_split();
            let mut agent = Self { input: BufReader::new(input), output };
            let said = agent.say(json!({ "op": "auth", "token": token, "heartbeat_s": 0.2, "job": "17" })).await;
            (agent, said)
        }

        async fn say(&mut self, line: Json) -> Json {
            self.output.write_all(format!("{line}\n").as_bytes()).await.unwrap();
            let line = read_line(&mut self.input).await.unwrap_or_default();
            serde_json::from_slice(&line).unwrap_or_default()
        }
    }

    #[tokio::test]
    async fn nobody_takes_part_without_the_token_or_speaks_for_anothers_trial() {
        let pool = pool().await;
        let (_, said) = Agent::greet(&pool, "fedcba9876543210").await;
        assert!(said["error"].as_str().unwrap().contains("token"), "{said}");
        let (sender, _reports) = mpsc::unbounded_channel();
        let (mut own, _) = Agent::greet(&pool, TOKEN).await;
        let (mut other, _) = Agent::greet(&pool, TOKEN).await;
        let running = pool.run(trial(7, sender));
        let speaking = async {
            assert_eq!(own.say(json!({ "op": "ask" })).await["trial"], 7);
            let tell = json!({ "op": "tell", "trial": 7, "value": 0.5 });
            assert!(other.say(tell.clone()).await["error"].as_str().unwrap().contains("not given out"));
            assert_eq!(own.say(tell).await["ok"], true);
        };
        let (outcome, ()) = tokio::join!(running, speaking);
        assert_eq!(outcome, Ok(Outcome::Value(0.5)));
    }

    #[tokio::test]
    async fn a_trial_whose_agent_is_silent_or_gone_is_handed_to_another_a_few_times() {
        let pool = pool().await;
        let (sender, _reports) = mpsc::unbounded_channel();
        let running = pool.run(trial(0, sender));
        let losing = async {
            for loss in 0..MOST_LOSSES {
                let (mut agent, _) = Agent::greet(&pool, TOKEN).await;
                let job = agent.say(json!({ "op": "ask" })).await;
                assert_eq!((&job["trial"], &job["attempt"]), (&json!(0), &json!(loss + 1)));
                if loss == 0 {
                    // Longer than three of its heartbeats.
                    tokio::time::sleep(Duration::from_millis(900)).await;
                }
            }
        };
        let (outcome, ()) = tokio::join!(running, losing);
        assert!(outcome.unwrap_err().contains("lost 5 times"));
        assert_eq!(pool.standing().waiting, 0);
    }

    #[tokio::test]
    async fn an_agent_goes_on_with_the_cost_of_the_one_that_was_lost() {
        let pool = pool().await;
        let (sender, mut reports) = mpsc::unbounded_channel();
        let running = pool.run(trial(0, sender));
        let tuning = async {
            let message = reports.recv().await.unwrap();
            message.answer.send(Ok(Decision::Continue)).unwrap();
        };
        let working = async {
            let (mut agent, _) = Agent::greet(&pool, TOKEN).await;
            assert_eq!(agent.say(json!({ "op": "ask" })).await["spent"], 0.0);
            let report = json!({ "op": "report", "trial": 0, "resource": 1, "value": 0.5, "cost": 15 });
            assert_eq!(agent.say(report).await["decision"], "continue");
            drop(agent);
            let (mut other, _) = Agent::greet(&pool, TOKEN).await;
            let job = other.say(json!({ "op": "ask" })).await;
            assert_eq!((&job["spent"], &job["after"]), (&json!(15.0), &json!(1)));
            other.say(json!({ "op": "tell", "trial": 0, "value": 0.5 })).await
        };
        let (outcome, (), told) = tokio::join!(running, tuning, working);
        assert_eq!((outcome, &told["ok"]), (Ok(Outcome::Value(0.5)), &json!(true)));
    }

    #[tokio::test]
    async fn an_agent_that_only_looks_is_not_counted() {
        let pool = pool().await;
        let (input, output) = TcpStream::connect(pool.address()).await.unwrap().into_split();
        let mut probe = Agent { input: BufReader::new(input), output };
        let auth = json!({ "op": "auth", "token": TOKEN, "probe": true });
        assert_eq!(probe.say(auth).await["ok"], true);
        assert_eq!(probe.say(json!({ "op": "ping" })).await["ok"], true);
        assert_eq!(pool.standing(), Standing { waiting: 0, connected: 0, idle: 0 });
    }

    #[tokio::test]
    async fn a_run_that_is_dropped_ends_the_agents_connection() {
        let pool = pool().await;
        let (sender, _reports) = mpsc::unbounded_channel();
        let (mut agent, _) = Agent::greet(&pool, TOKEN).await;
        let mut running = Box::pin(pool.run(trial(0, sender)));
        tokio::select! {
            _ = &mut running => panic!("nobody told it"),
            job = agent.say(json!({ "op": "ask" })) => assert_eq!(job["trial"], 0),
        }
        drop(running);
        assert!(timeout(Duration::from_secs(20), read_line(&mut agent.input)).await.unwrap().is_err());
        pool.close();
        let (mut late, _) = Agent::greet(&pool, TOKEN).await;
        assert_eq!(late.say(json!({ "op": "ask" })).await["done"], true);
    }

    #[tokio::test]
    async fn an_agent_is_idle_from_its_greeting_until_it_has_a_trial() {
        let pool = pool().await;
        let (sender, _reports) = mpsc::unbounded_channel();
        let (mut agent, _) = Agent::greet(&pool, TOKEN).await;
        assert!(pool.has_greeted("17") && pool.standing().idle == 1, "no other job is needed for the next trial");
        let mut running = Box::pin(pool.run(trial(0, sender)));
        tokio::select! {
            _ = &mut running => panic!("nobody told it"),
            job = agent.say(json!({ "op": "ask" })) => assert_eq!(job["trial"], 0),
        }
        assert_eq!(pool.standing(), Standing { waiting: 0, connected: 1, idle: 0 });
        let (outcome, said) = tokio::join!(running, agent.say(json!({ "op": "tell", "trial": 0, "value": 1.0 })));
        assert_eq!((outcome, &said["ok"], pool.has_cut_short()), (Ok(Outcome::Value(1.0)), &json!(true), false));
    }

    #[tokio::test]
    async fn a_run_that_is_dropped_is_cut_short_if_an_agent_had_it() {
        let pool = pool().await;
        let (sender, _reports) = mpsc::unbounded_channel();
        let mut waiting = Box::pin(pool.run(trial(0, sender.clone())));
        assert!(timeout(Duration::from_millis(1), &mut waiting).await.is_err());
        drop(waiting);
        assert!(!pool.has_cut_short(), "nobody ran it");
        let (mut agent, _) = Agent::greet(&pool, TOKEN).await;
        let mut running = Box::pin(pool.run(trial(1, sender)));
        tokio::select! {
            _ = &mut running => panic!("nobody told it"),
            job = agent.say(json!({ "op": "ask" })) => assert_eq!(job["trial"], 1),
        }
        drop(running);
        assert!(pool.has_cut_short());
    }
}
