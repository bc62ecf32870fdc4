//! Compilation seen from outside: golden pairs, and that a plan compiled from the plan before is the plan compiled anew.

mod golden;
mod incremental;
mod objects;
mod routing;
