//! Snapshot to immutable, compiled Plan. Pure.
