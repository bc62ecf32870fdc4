//! What a pick costs: `cargo run --release -p balance --example pick_cost`. Prints nanoseconds per pick.
#![allow(clippy::print_stdout, reason = "prints its table")]

use std::{hint::black_box, net::IpAddr, sync::Arc, time::Instant};

use balance::{Connections, HealthTable, Maglev, PickContext, Picker, Placement, Start, member_key};
use model::Weight;

const PICKS: u32 = 200_000;

fn main() {
    println!("{:>7} {:>8} {:>7} {:>9}  ns per pick", "members", "healthy", "workers", "weights");
    for members in [2usize, 10, 100, 500] {
        for (healthy, every) in [("all", 1), ("half", 2), ("tenth", 10)] {
            for (mixed, workers) in [(false, 2), (true, 2), (true, 8)] {
                let line = Group::new(members, every, mixed, workers).cost(workers);
                println!(
                    "{members:>7} {healthy:>8} {workers:>7} {:>9}  {line}",
                    if mixed { "mixed" } else { "equal" }
                );
            }
        }
    }
    for members in [2, 20, 21, 500, 1_000] {
        let begun = Instant::now();
        black_box(Maglev::new(keys(members)));
        println!("Maglev table of {members} members: {:?}", begun.elapsed());
    }
}

struct Group {
    weights: Vec<Weight>,
    health: HealthTable,
    connections: Connections,
    maglev: Arc<Maglev>,
}

impl Group {
    fn new(members: usize, every: usize, mixed: bool, workers: u16) -> Self {
        let connections = Connections::new(workers, members);
        (0..members).for_each(|m| (0..m % 7).for_each(|n| connections.begin(n as u16 % workers, m)));
        Self {
            weights: (0..members)
                .map(|n| Weight::of(if mixed { 1 + n as u16 * 7 % 100 } else { 1 }))
                .collect(),
            health: HealthTable::new(members, |member| member % every == 0),
            connections,
            maglev: Arc::new(Maglev::new(keys(members))),
        }
    }

    fn cost(&self, workers: u16) -> String {
        let all = [
            ("round robin", Placement::RoundRobin),
            ("least connections", Placement::LeastConnections),
            ("source address", Placement::SourceIp(&self.maglev)),
        ];
        let costs = all.map(|(name, placement)| {
            let mut picker = Picker::new(placement, &self.weights, false, Start { worker: 0, workers }, None);
            let begun = Instant::now();
            for n in 0..PICKS {
                let client = IpAddr::from(n.wrapping_mul(2_654_435_761).to_be_bytes());
                let (health, connections) = (&self.health, &self.connections);
                black_box(picker.pick(&PickContext { client, tried: &[], health, connections }));
            }
            format!("{name} {:.1}", begun.elapsed().as_nanos() as f64 / f64::from(PICKS))
        });
        costs.join(", ")
    }
}

fn keys(members: usize) -> Vec<Option<u64>> {
    (0..members).map(|n| Some(member_key(([10, 0, (n >> 8) as u8, n as u8], 80).into()))).collect()
}
