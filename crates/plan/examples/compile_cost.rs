//! What compilation costs: `cargo run --release -p plan --example compile_cost [LISTENERS]`.
//!
//! One load balancer per 50 listeners, one pool per listener with two members and a health monitor.
#![allow(clippy::print_stdout, reason = "prints its table")]

use std::{hint::black_box, time::Instant};

use model::{Algorithm, Weight};
use plan::compile;

#[path = "../tests/compile/objects.rs"]
mod objects;
use objects::Objects;

const ROUNDS: u32 = 200;

fn main() {
    let listeners = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(5_000);
    for (why, algorithm) in [("round robin", Algorithm::RoundRobin), ("source address", Algorithm::SourceIp)]
    {
        let mut objects = Objects::default();
        for n in 0..listeners {
            objects.load_balancer(n / 50, |_| ());
            objects.listener(n, n / 50, Some(n), |_| ());
            objects.pool(n, |pool| pool.algorithm = algorithm);
            objects.member(2 * n, n, |_| ());
            objects.member(2 * n + 1, n, |_| ());
            objects.monitor(n, n, |_| ());
        }
        let begun = Instant::now();
        let mut plan = compile(&objects.snapshot, None);
        println!("{listeners} listeners, {why}: all {:?}", begun.elapsed());

        let begun = Instant::now();
        for round in 0..ROUNDS {
            let n = u64::from(round) * 7 % listeners;
            objects.member(2 * n, n, |member| member.weight = Weight::of(1 + round as u16));
            plan = compile(&objects.snapshot, Some(&plan));
        }
        println!("{listeners} listeners, {why}: one member changed {:?}", begun.elapsed() / ROUNDS);

        let begun = Instant::now();
        for round in 0..ROUNDS {
            let n = listeners + u64::from(round);
            objects.listener(n, n / 50, None, |_| ());
            plan = compile(&objects.snapshot, Some(&plan));
        }
        println!("{listeners} listeners, {why}: one listener added {:?}", begun.elapsed() / ROUNDS);
        black_box(plan);
    }
}
