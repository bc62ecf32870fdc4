//! The nouns of Fulcrum: ids, ranges, load balancers, listeners, pools, members, snapshot. Pure.
