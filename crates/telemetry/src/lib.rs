//! Counters and what is made of them: metrics.
