//! The workers: accept, relay, forward, probe.
