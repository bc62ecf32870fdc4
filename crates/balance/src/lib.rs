//! Choosing a member: algorithms, health state machine. Pure.
