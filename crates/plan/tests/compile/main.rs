//! Compilation seen from outside: golden pairs, and that a plan compiled from the plan before is the plan compiled anew.
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod golden;
mod incremental;
mod layer4;
mod objects;
mod routing;
mod targets;
