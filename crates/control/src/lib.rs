//! The verbs and the rules of the API: the only writer.
