//! Who a caller is and what they may do: users, projects, tokens, request signatures. Pure.
