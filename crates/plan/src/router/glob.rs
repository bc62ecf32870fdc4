//! Texts in which `*` stands for any run of bytes and `?` for one (behaviour/forwarding.md, Conditions).

/// Whether a text fits a pattern as a whole. At worst as many steps as both are long multiplied; patterns are short.
pub(super) fn fits(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    // Where to go on when the last star has to take one byte more.
    let mut retry: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                retry = Some((p + 1, t));
                p += 1;
            }
            Some(&byte) if byte == b'?' || byte == text[t] => {
                p += 1;
                t += 1;
            }
            Some(_) | None => {
                let Some((after_star, taken)) = retry else { return false };
                retry = Some((after_star, taken + 1));
                p = after_star;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|&byte| byte == b'*')
}

/// Whether a pattern is more than its own text.
pub(super) fn is_wild(pattern: &[u8]) -> bool {
    pattern.iter().any(|byte| matches!(byte, b'*' | b'?'))
}

/// What stands behind the last `*` or `?`: every text that fits ends with it.
pub(super) fn literal_tail(pattern: &[u8]) -> &[u8] {
    let wild = pattern.iter().rposition(|byte| matches!(byte, b'*' | b'?'));
    wild.map_or(pattern, |at| &pattern[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn stars_are_runs_and_question_marks_single_bytes() {
        for (pattern, text, expect) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "anything.at.all", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("www.*.com", "www.example.com", true),
            ("www.*.com", "www.example.org", false),
            ("a?c", "abc", true),
            ("a?c", "ac", false),
            ("a*b*c", "a-b-b-c", true),
            ("a*b*c", "a-c-b", false),
            ("a**", "a", true),
            ("*a", "aaab", false),
            ("*ab", "aaab", true),
        ] {
            assert_eq!(fits(pattern.as_bytes(), text.as_bytes()), expect, "{pattern} on {text}");
        }
    }

    fn by_recursion(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => (0..=text.len()).any(|taken| by_recursion(rest, &text[taken..])),
            ([b'?', pattern @ ..], [_, text @ ..]) => by_recursion(pattern, text),
            ([one, pattern @ ..], [other, text @ ..]) => one == other && by_recursion(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn fitting_is_what_trying_everything_says(pattern in "[ab?*]{0,7}", text in "[ab]{0,9}") {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            prop_assert_eq!(fits(pattern, text), by_recursion(pattern, text));
            prop_assert!(!fits(pattern, text) || text.ends_with(literal_tail(pattern)));
        }
    }
}
