//! A pool at work on a virtual clock: members come and go, get other weights, fall ill and recover, while work begins and ends and
//! settings change, all in an order that a seed decides. Flows, draining, slow start, health, ejections and every algorithm run
//! together here, driven as their documents say; each has tests of its own beside this.
//!
//! After every step the whole is held against [`rules`], which say once more, in other words, what is true of a pool:
//! - a flow stays with its member as long as that may keep it, and is found as long as it is not idle;
//! - nobody gets new work who drains, is ejected, was tried, or has no weight; nobody is passed over without need;
//! - the work of a member that drains ends with its delay: never later, and never sooner;
//! - a member in slow start gets its growing share and no more, and all others keep their proportions;
//! - least connections goes to the fewest for the weight; the hash moves nobody but clients of those who go or come; of
//!   active and standby one serves;
//! - a member's count of connections is the number of its connections, and 0 when they have ended.
//!
//! A failure says its seed and its last steps. `FULCRUM_SEED=7` runs that seed alone, `FULCRUM_STEPS=100000` makes a run longer.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]
#![allow(clippy::print_stderr, reason = "a failure says how to see it again")]

mod chance;
mod checks;
mod parts;
mod rules;
mod shares;
mod step;
mod target;
mod work;
mod world;

use std::collections::VecDeque;

use world::World;

/// Runs, each from its own seed, and steps of a run.
const SEEDS: u64 = 48;
const STEPS: u64 = 1200;

#[test]
fn whatever_happens_to_a_pool_its_work_is_where_it_belongs() {
    let steps = number("FULCRUM_STEPS").unwrap_or(STEPS);
    let seeds = number("FULCRUM_SEED").map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        let mut course = Course { seed, taken: 0, last: VecDeque::new() };
        let mut world = World::new(seed);
        for _ in 0..steps {
            let step = world.next_step();
            course.note(format!("{step:?}"));
            world.take(step);
        }
        course.note("everything ends".to_owned());
        world.end_all();
    }
}

/// What is said when a run fails.
struct Course {
    seed: u64,
    taken: u64,
    last: VecDeque<String>,
}

impl Course {
    fn note(&mut self, step: String) {
        self.taken += 1;
        self.last.push_back(step);
        if self.last.len() > 24 {
            self.last.pop_front();
        }
    }
}

impl Drop for Course {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let Self { seed, taken, last } = self;
            eprintln!("the last of {taken} steps: {last:#?}");
            eprintln!("again with FULCRUM_SEED={seed} FULCRUM_STEPS={taken}");
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is {text:?}, which is no number")))
}
