//! What listeners may take at most: connections at a time, new connections, requests and bytes per second (plan::ListenerLimits).
//!
//! A [`Cap`] is one number that holds for several workers, and where it is a flavor's or a load balancer's, for several listeners.
//! A listener has as many as apply to it, and takes from all of them or from none. Over a cap, new work is refused and what is
//! there goes on (behaviour/features.md section 9).
//!
//! A connection counts until it is dropped, also when the caps have changed meanwhile. A listener without caps pays one look.
//!
//! **Bytes.** Whoever wants to move bytes asks for a turn ([`Caps::turn`]), moves about as many, and says how many it were
//! ([`Caps::settle`]). More may move than was asked for, as what is read at once is passed on at once: that is owed, and nobody gets
//! a turn before it is paid. So over any time no more passes than the limit allows, and what each worker reads at once. Who gets
//! none waits ([`Caps::wait`]). Datagrams do not wait: they pass or are dropped ([`Caps::take_bytes`]).

use std::{
    cell::RefCell,
    collections::BTreeMap,
    num::NonZeroU64,
    rc::Rc,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    task::Waker,
};

use balance::{Shaper, Share};
use model::{FlavorLayer, ListenerId, LoadBalancerId};
use plan::{Limits, ListenerPlan};

use super::pacer::{Pacer, Queue, Ticket};
use crate::clock;

/// What the caps of a listener apply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Holder {
    Listener(ListenerId),
    /// All listeners of one layer of a load balancer.
    Flavor(LoadBalancerId, FlavorLayer),
    LoadBalancer(LoadBalancerId),
}

/// Upper ends that several share.
pub(crate) struct Cap {
    limits: Limits,
    /// Connections that count against it. It outlives a change of the limits.
    open: Arc<AtomicU64>,
    connections: Option<Shaper>,
    requests: Option<Shaper>,
    /// Bytes from clients, and to them.
    bytes: [Option<Shaper>; 2],
}

impl Cap {
    fn new(limits: Limits, open: Arc<AtomicU64>, workers: u16) -> Self {
        let rate = |limit: Option<u64>| limit.and_then(NonZeroU64::new);
        let per_second = |limit| rate(limit).map(|rate| Shaper::new(rate, rate.get(), workers));
        let bytes = || {
            let rate = rate(limits.bits_per_second.map(|bits| (bits / 8).max(1)));
            // Who waits is woken a little later, so what comes together until then must not be lost; and a datagram must fit.
            rate.map(|rate| Shaper::new(rate, (rate.get() / 4).max(READ_BYTES), workers))
        };
        Self {
            open,
            connections: per_second(limits.connections_per_second),
            requests: per_second(limits.requests_per_second),
            bytes: [bytes(), bytes()],
            limits,
        }
    }
}

/// What one read asks for, and the longest datagram.
const READ_BYTES: u64 = 64 * 1024;

/// What one connection may move before others get their turn: what comes together in a hundredth of a second, but no less than is worth the
/// trouble and no more than a pipe holds.
const TURN_PARTS: u64 = 100;
const TURN_BYTES_MIN: u64 = 16 * 1024;
const TURN_BYTES_MAX: u64 = 256 * 1024;

/// A cap, and how much of it one connection and one request take.
#[derive(Clone)]
pub(crate) struct Applied {
    cap: Arc<Cap>,
    connection_cost: u64,
    request_cost: u64,
}

/// All caps of the process.
#[derive(Default)]
pub(crate) struct AllCaps(BTreeMap<Holder, Weak<Cap>>);

impl AllCaps {
    /// The caps that apply to a listener; those whose limits are as they were go on.
    pub(crate) fn of(&mut self, plan: &ListenerPlan, workers: u16) -> Vec<Applied> {
        let limits = &plan.limits;
        let flavor = limits.flavor.as_ref();
        let flavor = flavor.map(|flavor| {
            let holder = Holder::Flavor(plan.load_balancer, flavor.layer);
            (holder, flavor.total, flavor.connection_cost, flavor.request_cost)
        });
        [
            Some((Holder::Listener(plan.id), limits.own, 1, 1)),
            flavor,
            Some((Holder::LoadBalancer(plan.load_balancer), limits.load_balancer, 1, 1)),
        ]
        .into_iter()
        .flatten()
        .filter(|(_, limits, ..)| *limits != Limits::default())
        .map(|(holder, limits, connection_cost, request_cost)| {
            let cap = self.cap(holder, limits, workers);
            Applied { cap, connection_cost, request_cost }
        })
        .collect()
    }

    fn cap(&mut self, holder: Holder, limits: Limits, workers: u16) -> Arc<Cap> {
        let former = self.0.get(&holder).and_then(Weak::upgrade);
        if let Some(same) = former.as_ref().filter(|former| former.limits == limits) {
            return same.clone();
        }
        let open = former.map(|former| former.open.clone()).unwrap_or_default();
        let cap = Arc::new(Cap::new(limits, open, workers));
        self.0.retain(|_, cap| cap.strong_count() > 0);
        self.0.insert(holder, Arc::downgrade(&cap));
        cap
    }
}

/// The caps of a listener in one worker.
pub(crate) struct Caps {
    each: Box<[InWorker]>,
    /// What one connection may move at once; none: bytes are not limited.
    turn_bytes: Option<u64>,
    waiting: Rc<Queue>,
    /// In nanoseconds; the same for all workers.
    clock: fn() -> u64,
}

struct InWorker {
    applied: Applied,
    shares: RefCell<Shares>,
}

#[derive(Default)]
struct Shares {
    connections: Share,
    requests: Share,
    bytes: [Bytes; 2],
}

/// What one worker has of a limit of bytes.
#[derive(Default)]
struct Bytes {
    share: Share,
    /// Bytes that moved beyond what was given.
    owed: u64,
}

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From a client.
    In,
    /// To a client.
    Out,
}

/// Connections that count against caps, until it is dropped.
pub(crate) struct Counted(Box<[Arc<AtomicU64>]>);

impl Drop for Counted {
    fn drop(&mut self) {
        for open in &self.0 {
            open.fetch_sub(1, Relaxed);
        }
    }
}

impl Caps {
    /// None where nothing is limited.
    pub(crate) fn new(applied: &[Applied]) -> Option<Self> {
        if applied.is_empty() {
            return None;
        }
        let bytes = |applied: &Applied| applied.cap.limits.bits_per_second.map(|bits| bits / 8);
        let slowest = applied.iter().filter_map(bytes).min();
        Some(Self {
            each: applied
                .iter()
                .map(|applied| InWorker { applied: applied.clone(), shares: RefCell::default() })
                .collect(),
            turn_bytes: slowest.map(|rate| (rate / TURN_PARTS).clamp(TURN_BYTES_MIN, TURN_BYTES_MAX)),
            waiting: Rc::default(),
            clock: clock::now_ns,
        })
    }

    /// A new connection; none when a cap does not allow it.
    pub(crate) fn admit_connection(&self) -> Option<Counted> {
        let mut counted = Counted(Box::default());
        let mut open = Vec::with_capacity(self.each.len());
        for InWorker { applied: Applied { cap, .. }, .. } in &self.each {
            let most = cap.limits.connections.unwrap_or(u64::MAX);
            let one_more = |open| (open < most).then_some(open + 1);
            if cap.open.fetch_update(Relaxed, Relaxed, one_more).is_err() {
                counted.0 = open.into();
                return None;
            }
            open.push(cap.open.clone());
        }
        counted.0 = open.into();
        let cost = |applied: &Applied| applied.connection_cost;
        self.take(|cap| cap.connections.as_ref(), |shares| &mut shares.connections, cost).then_some(counted)
    }

    /// Whether a cap allows one more request.
    pub(crate) fn admits_request(&self) -> bool {
        let cost = |applied: &Applied| applied.request_cost;
        self.take(|cap| cap.requests.as_ref(), |shares| &mut shares.requests, cost)
    }

    /// How many bytes a connection may move now; 0: none, it has to [`Caps::wait`]. To be [`Caps::settle`]d.
    pub(crate) fn turn(&self, direction: Direction) -> u64 {
        self.turn_bytes.map_or(u64::MAX, |most| self.take_bytes(direction, most))
    }

    /// Whether a connection would get a turn.
    pub(crate) fn has_turn(&self, direction: Direction) -> bool {
        let turn = self.turn(direction);
        self.settle(direction, turn, 0);
        turn > 0
    }

    /// Says how many bytes moved in a turn.
    pub(crate) fn settle(&self, direction: Direction, turn: u64, moved: u64) {
        if self.turn_bytes.is_none() {
            return;
        }
        match moved.checked_sub(turn) {
            None => self.give_back_to(direction, turn - moved, self.each.len()),
            Some(beyond) => self.owe(direction, beyond),
        }
    }

    /// Bytes that moved, or will, without a turn: they are paid before others get one.
    pub(crate) fn owe(&self, direction: Direction, bytes: u64) {
        if bytes == 0 {
            return;
        }
        for InWorker { applied, shares } in &self.each {
            if applied.cap.bytes[direction as usize].is_some() {
                let owed = &mut shares.borrow_mut().bytes[direction as usize].owed;
                *owed = owed.saturating_add(bytes);
            }
        }
    }

    /// Has a task woken when it may ask for a turn again; `ticket` is its own.
    pub(crate) fn wait(&self, pacer: &Pacer, ticket: &mut Ticket, waker: &Waker) {
        pacer.wait(&self.waiting, ticket, waker);
    }

    /// How many of so many bytes may pass now: all caps together. What is not used is given back.
    pub(crate) fn take_bytes(&self, direction: Direction, most: u64) -> u64 {
        let now_ns = (self.clock)();
        let mut given = most;
        for (place, InWorker { applied, shares }) in self.each.iter().enumerate() {
            let Some(shaper) = &applied.cap.bytes[direction as usize] else { continue };
            let taken = {
                let Bytes { share, owed } = &mut shares.borrow_mut().bytes[direction as usize];
                let taken = share.take_up_to(shaper, now_ns, given.saturating_add(*owed));
                let paid = taken.min(*owed);
                *owed -= paid;
                taken - paid
            };
            self.give_back_to(direction, given - taken, place);
            given = taken;
        }
        given
    }

    /// Puts back what was taken and did not pass.
    pub(crate) fn give_back(&self, direction: Direction, bytes: u64) {
        self.give_back_to(direction, bytes, self.each.len());
    }

    fn give_back_to(&self, direction: Direction, bytes: u64, before: usize) {
        if bytes == 0 {
            return;
        }
        for InWorker { applied, shares } in &self.each[..before] {
            if let Some(shaper) = &applied.cap.bytes[direction as usize] {
                shares.borrow_mut().bytes[direction as usize].share.give_back(shaper, bytes);
            }
        }
    }

    /// Whether bytes are limited.
    pub(crate) fn limit_bytes(&self) -> bool {
        self.turn_bytes.is_some()
    }

    /// Takes from every cap that has such a limit, or from none.
    fn take(
        &self,
        limit: impl Fn(&Cap) -> Option<&Shaper>,
        share: impl Fn(&mut Shares) -> &mut Share,
        cost: impl Fn(&Applied) -> u64,
    ) -> bool {
        let mut now_ns = None;
        for (place, InWorker { applied, shares }) in self.each.iter().enumerate() {
            let Some(shaper) = limit(&applied.cap) else { continue };
            let now_ns = *now_ns.get_or_insert_with(self.clock);
            let cost_here = cost(applied);
            let taken = share(&mut shares.borrow_mut()).take_up_to(shaper, now_ns, cost_here);
            if taken < cost_here {
                share(&mut shares.borrow_mut()).give_back(shaper, taken);
                for InWorker { applied, shares } in &self.each[..place] {
                    if let Some(shaper) = limit(&applied.cap) {
                        share(&mut shares.borrow_mut()).give_back(shaper, cost(applied));
                    }
                }
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use plan::{FlavorLimits, ListenerLimits, ServicePlan};
    use uuid::Uuid;

    use super::*;

    fn plan(number: u128, limits: ListenerLimits) -> ListenerPlan {
        let id = ListenerId::new(Uuid::from_u128(number));
        let plan = ListenerPlan::by_hand(id, "127.0.0.1:80".parse().unwrap(), ServicePlan::Tcp, None);
        ListenerPlan { limits, load_balancer: LoadBalancerId::new(Uuid::nil()), ..plan }
    }

    fn own(limits: Limits) -> ListenerLimits {
        ListenerLimits { own: limits, ..ListenerLimits::default() }
    }

    #[test]
    fn connections_count_until_they_end_whatever_becomes_of_the_limit() {
        let mut all = AllCaps::default();
        let limited = |most| plan(1, own(Limits { connections: Some(most), ..Limits::default() }));
        let applied = all.of(&limited(2), 2);
        let (one, other) = (Caps::new(&applied).unwrap(), Caps::new(&applied).unwrap());
        let first = one.admit_connection().expect("the first");
        let _second = other.admit_connection().expect("the second, in another worker");
        assert!(one.admit_connection().is_none());
        let changed = Caps::new(&all.of(&limited(3), 2)).unwrap();
        let _third = changed.admit_connection().expect("the limit was raised by one");
        assert!(changed.admit_connection().is_none());
        drop(first);
        assert!(changed.admit_connection().is_some());
        assert!(Caps::new(&all.of(&plan(1, own(Limits::default())), 2)).is_none());
    }

    #[test]
    fn what_one_cap_refuses_takes_nothing_from_the_others() {
        let mut all = AllCaps::default();
        let flavor = FlavorLimits {
            layer: FlavorLayer::L7,
            total: Limits {
                connections: Some(10),
                connections_per_second: Some(10),
                requests_per_second: Some(4),
                ..Limits::default()
            },
            connection_cost: 5,
            request_cost: 2,
        };
        let with = |number, own| {
            plan(number, ListenerLimits { own, flavor: Some(flavor), ..ListenerLimits::default() })
        };
        let narrow = with(1, Limits { connections: Some(1), ..Limits::default() });
        let stopped = |caps: Option<Caps>| Caps { clock: || 0, ..caps.unwrap() };
        let narrow = stopped(Caps::new(&all.of(&narrow, 1)));
        let wide = stopped(Caps::new(&all.of(&with(2, Limits::default()), 1)));
        let _first = narrow.admit_connection().unwrap();
        (0..100).for_each(|_| assert!(narrow.admit_connection().is_none(), "its own limit"));
        let _second = wide.admit_connection().expect("five of ten per second are left");
        assert!(wide.admit_connection().is_none(), "a new connection takes five");
        assert_eq!(
            [0, 0, 0].map(|_: u8| wide.admits_request()),
            [true, true, false],
            "each takes two of four"
        );
    }

    #[test]
    fn bytes_that_did_not_pass_are_there_again() {
        let mut all = AllCaps::default();
        let limits = Limits { bits_per_second: Some(8 * 1000), ..Limits::default() };
        let both = ListenerLimits { own: limits, load_balancer: limits, flavor: None };
        let caps = Caps { clock: || 0, ..Caps::new(&all.of(&plan(1, both), 1)).unwrap() };
        assert!(caps.limit_bytes());
        assert_eq!(caps.take_bytes(Direction::In, READ_BYTES), READ_BYTES);
        caps.give_back(Direction::In, READ_BYTES - 100);
        let again = caps.take_bytes(Direction::In, 2 * READ_BYTES);
        assert_eq!(again, READ_BYTES - 100);
        assert_eq!(caps.take_bytes(Direction::Out, 1000), 1000, "each way has its own");
    }

    #[test]
    fn what_went_beyond_a_turn_is_paid_before_the_next() {
        thread_local!(static NOW: std::cell::Cell<u64> = const { std::cell::Cell::new(0) });
        const RATE: u64 = 1_000_000;
        let mut all = AllCaps::default();
        let limits = Limits { bits_per_second: Some(8 * RATE), ..Limits::default() };
        let caps = Caps::new(&all.of(&plan(1, own(limits)), 1)).unwrap();
        let caps = Caps { clock: || NOW.get(), ..caps };
        let mut passed = 0;
        for ms in 0..10_000 {
            NOW.set(ms * 1_000_000);
            for direction in [Direction::In, Direction::Out] {
                let turn = caps.turn(direction);
                assert!(turn <= TURN_BYTES_MIN, "others want something, too");
                // In: much more than the turn. Out: less.
                let moved = if turn == 0 {
                    0
                } else if direction == Direction::In {
                    READ_BYTES
                } else {
                    turn / 2
                };
                caps.settle(direction, turn, moved);
                passed += if direction == Direction::In { moved } else { 0 };
            }
        }
        let most = RATE * 10 + RATE / 4 + READ_BYTES;
        assert!((RATE * 10..=most).contains(&passed), "{passed} of {most}");
        assert!(caps.has_turn(Direction::Out), "half of each turn was given back");
        caps.owe(Direction::Out, RATE);
        assert!(!caps.has_turn(Direction::Out), "a second's worth, and a quarter was there");
        let waited = (10_000..).find(|ms| {
            NOW.set(ms * 1_000_000);
            caps.has_turn(Direction::Out)
        });
        assert!((10_700..=11_000).contains(&waited.unwrap()), "{waited:?}");
        let unlimited = Limits { connections: Some(1), ..Limits::default() };
        let caps = Caps::new(&all.of(&plan(2, own(unlimited)), 1)).unwrap();
        assert!(!caps.limit_bytes() && caps.turn(Direction::In) == u64::MAX);
    }
}
