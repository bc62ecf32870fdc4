//! One byte for how bad the hash is, then events of four bytes each, given to a flow table and to a plain list that says what is right.
#![no_main]

use libfuzzer_sys::fuzz_target;

#[path = "../../crates/balance/tests/flows/simulation.rs"]
mod simulation;

use simulation::{Event, Simulation};

fuzz_target!(|input: &[u8]| {
    let Some((&collisions, events)) = input.split_first() else { return };
    let mut simulation = Simulation::new(u32::from(collisions % 33));
    events.as_chunks().0.iter().for_each(|&event| simulation.handle(Event::of(event)));
});
