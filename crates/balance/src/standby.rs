//! Active/standby: of two members one serves, the other only while the first is down.
//!
//! All new work goes to the master while it is healthy, else to the slave; when the master is healthy again, new work is its own again
//! at once. What the slave got meanwhile stays there until it ends: the slave is neither down nor gone. With both down nobody serves.
//! A failed attempt alone moves nothing: the two may not be meant to work at the same time, and health is what decides.
//!
//! Source: behaviour/features.md section 7 (Active/standby pool); slb/mapping.md ("Master gets all traffic while healthy, else Slave;
//! weights stored only"). Stickiness and the pool's algorithm have nothing to choose from, and weights do not count.

use crate::selection::MemberIndex;

/// The part that a member has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Serves while it is healthy.
    Master,
    /// Serves while the master is not.
    Slave,
}

/// Which member has which part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standby {
    /// Serves while it is healthy.
    pub master: MemberIndex,
    /// Serves while the master is not; none while there is only a master.
    pub slave: Option<MemberIndex>,
}

impl Standby {
    /// The parts of a group: the first master and the first slave. None without a master.
    pub fn new(roles: &[Role]) -> Option<Self> {
        let first =
            |role| roles.iter().position(|&r| r == role).and_then(|at| MemberIndex::try_from(at).ok());
        Some(Self { master: first(Role::Master)?, slave: first(Role::Slave) })
    }

    /// Who gets new work; nobody when neither is usable.
    pub fn serving(self, usable: impl Fn(usize) -> bool) -> Option<MemberIndex> {
        let members = [Some(self.master), self.slave].into_iter().flatten();
        members.into_iter().find(|&member| usable(member.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Role::{Master, Slave};

    #[test]
    fn the_master_serves_while_it_can() {
        for (why, roles, healthy, expect) in [
            ("both healthy", &[Master, Slave][..], &[0, 1][..], Some(0)),
            ("whatever their order", &[Slave, Master], &[0, 1], Some(1)),
            ("the master is down", &[Master, Slave], &[1], Some(1)),
            ("the slave is down", &[Master, Slave], &[0], Some(0)),
            ("both are down", &[Master, Slave], &[], None),
            ("no slave yet", &[Master], &[0], Some(0)),
            ("no slave, and the master is down", &[Master], &[], None),
        ] {
            let standby = Standby::new(roles).unwrap();
            assert_eq!(standby.serving(|member| healthy.contains(&member)), expect, "{why}");
        }
        assert_eq!((Standby::new(&[]), Standby::new(&[Slave])), (None, None), "nobody to serve first");
    }
}
