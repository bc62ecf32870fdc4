//! Cookies as a load balancer needs them: find one, change one, leave all others as they are.
//!
//! A Cookie line is read as user agents and servers read it (RFC 6265 §4.2, §5.2, §5.4): pairs between semicolons, the name up to
//! the first `=`, white space around both left out, names compared byte by byte, no meaning for quotes but as part of a value.
//! What is no pair of a name and a value is nobody's cookie and goes on as it is.
//!
//! Invariants (property tests, fuzz target): a change of one cookie changes no byte of the others; what was not asked for is
//! not touched; reading allocates nothing.
//!
//! What it does not do: it checks no date, path or domain, and it keeps no cookies.
//!
//! [`affinity`] is the mark that names a member at the end of an application's own cookie.

pub mod affinity;

/// The value of the first cookie of this name in the Cookie lines of a request. The first is the one of the most specific path
/// (RFC 6265 §5.4).
pub fn find<'l>(lines: impl IntoIterator<Item = &'l [u8]>, name: &[u8]) -> Option<&'l [u8]> {
    lines.into_iter().flat_map(pairs).find(|pair| pair.name == Some(name)).map(|pair| pair.value)
}

/// What becomes of one cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change<'v> {
    /// It stays.
    Keep,
    /// It goes.
    Remove,
    /// It gets this value. The caller sees to it that the value has no `;` and no control byte.
    Value(&'v [u8]),
    /// It keeps its value but for the bytes from `from` up to, but not including, `to`. Beyond its end there is nothing to leave out.
    Without {
        /// The first that goes.
        from: usize,
        /// The first that stays again; taken as `from` when below it.
        to: usize,
    },
}

/// What became of the Cookie lines of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rewritten {
    /// Nothing was changed, and nothing written: the lines go on as they are.
    Unchanged,
    /// What was written is the value of the one Cookie line that takes the place of all.
    Changed,
    /// No cookie is left, and nothing was written: there is no Cookie line any more.
    Empty,
}

/// Changes every cookie of this name as `change` says of its value, and appends the value of one Cookie line with all cookies of
/// `lines`. Cookies of several lines are joined by `; `, which means the same (RFC 9113 §8.2.3).
pub fn rewrite<'l>(
    lines: impl IntoIterator<Item = &'l [u8]>,
    name: &[u8],
    mut change: impl FnMut(&'l [u8]) -> Change<'l>,
    out: &mut Vec<u8>,
) -> Rewritten {
    let begin = out.len();
    let mut changed = false;
    for pair in lines.into_iter().flat_map(pairs) {
        let change = if pair.name == Some(name) { change(pair.value) } else { Change::Keep };
        changed |= change != Change::Keep;
        let (head, values, tail) = match change {
            Change::Keep => (pair.all, [&[][..]; 2], &[][..]),
            Change::Remove => continue,
            Change::Value(value) => (pair.before_value, [value, &[]], pair.after_value),
            Change::Without { from, to } => {
                let parts = [
                    pair.value.get(..from).unwrap_or(pair.value),
                    pair.value.get(to.max(from)..).unwrap_or_default(),
                ];
                (pair.before_value, parts, pair.after_value)
            }
        };
        if out.len() > begin {
            out.extend_from_slice(b"; ");
        }
        [head, values[0], values[1], tail].into_iter().for_each(|part| out.extend_from_slice(part));
    }
    match changed {
        true if out.len() > begin => Rewritten::Changed,
        true => Rewritten::Empty,
        false => {
            out.truncate(begin);
            Rewritten::Unchanged
        }
    }
}

/// The cookie that a Set-Cookie line sets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetCookie<'l> {
    /// Its name; not empty.
    pub name: &'l [u8],
    /// Its value; may be empty, and have quotes around it.
    pub value: &'l [u8],
    before_value: &'l [u8],
    after_value: &'l [u8],
}

impl<'l> SetCookie<'l> {
    /// Reads the value of a Set-Cookie line; none when it sets no cookie with a name (RFC 6265 §5.2).
    pub fn parse(line: &'l [u8]) -> Option<Self> {
        let end = memchr::memchr(b';', line).unwrap_or(line.len());
        let pair = Pair::read(&line[..end]);
        let name = pair.name.filter(|name| !name.is_empty())?;
        // Everything behind the value, attributes included.
        let after_value = &line[pair.before_value.len() + pair.value.len()..];
        Some(Self { name, value: pair.value, before_value: pair.before_value, after_value })
    }

    /// Appends the line with another value: `value` and then `more`. All else stays. The caller sees to it that neither has
    /// a `;` or a control byte.
    pub fn write_with(&self, value: &[u8], more: &[u8], out: &mut Vec<u8>) {
        [self.before_value, value, more, self.after_value]
            .into_iter()
            .for_each(|part| out.extend_from_slice(part));
    }
}

/// What stands between two semicolons of a Cookie line.
#[derive(Clone, Copy, Debug)]
struct Pair<'l> {
    /// None: there is no `=`.
    name: Option<&'l [u8]>,
    value: &'l [u8],
    /// `all` = `before_value` + `value` + `after_value`.
    all: &'l [u8],
    before_value: &'l [u8],
    after_value: &'l [u8],
}

impl<'l> Pair<'l> {
    fn read(all: &'l [u8]) -> Self {
        let Some(equals) = memchr::memchr(b'=', all) else {
            return Self { name: None, value: &[], all, before_value: all, after_value: &[] };
        };
        let (name, behind) = (all[..equals].trim_ascii(), &all[equals + 1..]);
        let value = behind.trim_ascii();
        let (before_value, rest) = all.split_at(equals + 1 + behind.len() - behind.trim_ascii_start().len());
        Self { name: Some(name), value, all, before_value, after_value: &rest[value.len()..] }
    }
}

/// The pairs of a Cookie line without the white space around them; empty ones are left out.
fn pairs(line: &[u8]) -> impl Iterator<Item = Pair<'_>> {
    line.split(|&byte| byte == b';').map(<[u8]>::trim_ascii).filter(|all| !all.is_empty()).map(Pair::read)
}
