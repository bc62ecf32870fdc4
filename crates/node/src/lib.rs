//! One machine's agent: follow the feed, compile, keep the last good plan.
