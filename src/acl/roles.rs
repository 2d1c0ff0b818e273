//! Who inherits from whom: the `g` lines as a graph without circles and of bounded depth.

use std::collections::{BTreeMap, BTreeSet};

use super::error::Fault;

/// The most memberships from a subject up to its farthest role.
pub(super) const LINKS_MAX: usize = 8;

type Edges = BTreeMap<String, BTreeSet<String>>;

/// The memberships read so far. They never form a circle or a chain longer than `LINKS_MAX`.
#[derive(Debug, Default)]
pub(super) struct Roles {
    roles_of: Edges,
    members_of: Edges,
}

impl Roles {
    /// Makes `member` a holder of `role` and of all that `role` inherits. Twice is as once.
    ///
    /// # Errors
    ///
    /// `Cycle` and `TooDeep`; the graph stays as it was.
    pub(super) fn add(&mut self, member: String, role: String) -> Result<(), Fault> {
        if self.held_by(&role).contains(member.as_str()) {
            let mut chain = self.chain(&role, &member);
            chain.insert(0, member);
            return Err(Fault::Cycle { chain });
        }
        let links = height(&self.members_of, &member) + 1 + height(&self.roles_of, &role);
        if links > LINKS_MAX {
            return Err(Fault::TooDeep { links, links_max: LINKS_MAX });
        }
        self.members_of.entry(role.clone()).or_default().insert(member.clone());
        self.roles_of.entry(member).or_default().insert(role);
        Ok(())
    }

    /// Every name that is a member of a role.
    pub(super) fn members(&self) -> impl Iterator<Item = &str> {
        self.roles_of.keys().map(String::as_str)
    }

    /// `name` and every role that it holds, directly or not.
    pub(super) fn held_by<'a>(&'a self, name: &'a str) -> BTreeSet<&'a str> {
        let mut held = BTreeSet::from([name]);
        let mut level = held.clone();
        while !level.is_empty() {
            level = step(&self.roles_of, &level);
            level.retain(|role| held.insert(role));
        }
        held
    }

    /// The names from `from` up to `to`, both included; `from` is `to` or a member of it.
    fn chain(&self, from: &str, to: &str) -> Vec<String> {
        let mut chain = vec![from.to_owned()];
        let mut last = from;
        while last != to {
            let above = self.roles_of.get(last).into_iter().flatten();
            // With no circles yet, a role that holds `to` is always one step nearer to it.
            let Some(next) = above.into_iter().find(|role| self.held_by(role).contains(to)) else {
                break;
            };
            chain.push(next.clone());
            last = next;
        }
        chain
    }
}

/// The most edges that can be followed from `from`.
fn height(edges: &Edges, from: &str) -> usize {
    let mut level = step(edges, &BTreeSet::from([from]));
    let mut height = 0;
    while !level.is_empty() {
        level = step(edges, &level);
        height += 1;
    }
    height
}

/// All that is exactly one edge away from `level`.
fn step<'a>(edges: &'a Edges, level: &BTreeSet<&str>) -> BTreeSet<&'a str> {
    level.iter().filter_map(|name| edges.get(*name)).flatten().map(String::as_str).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn roles(links: &[(&str, &str)]) -> Roles {
        let mut roles = Roles::default();
        for (member, role) in links {
            roles.add((*member).to_owned(), (*role).to_owned()).unwrap();
        }
        roles
    }

    fn add(roles: &mut Roles, member: &str, role: &str) -> Result<(), Fault> {
        roles.add(member.to_owned(), role.to_owned())
    }

    /// Memberships `n0 -> n1 -> ...`, from number `first` to number `last`.
    fn line(first: usize, last: usize) -> Vec<(String, String)> {
        (first..last).map(|n| (format!("n{n}"), format!("n{}", n + 1))).collect()
    }

    #[test]
    fn a_name_holds_itself_and_what_its_roles_hold() {
        let roles = roles(&[("a", "b"), ("a", "c"), ("b", "d"), ("c", "d"), ("x", "c")]);
        assert_eq!(roles.held_by("a"), BTreeSet::from(["a", "b", "c", "d"]));
        assert_eq!(roles.held_by("x"), BTreeSet::from(["x", "c", "d"]));
        assert_eq!(roles.held_by("d"), BTreeSet::from(["d"]));
        assert_eq!(roles.held_by("stranger"), BTreeSet::from(["stranger"]));
        assert_eq!(roles.members().collect::<Vec<_>>(), ["a", "b", "c", "x"]);
    }

    #[test]
    fn a_circle_is_refused_and_shown() {
        let mut roles = roles(&[("a", "b"), ("b", "away"), ("b", "c"), ("c", "d"), ("away", "z")]);
        for (member, role, chain) in [
            ("a", "a", vec!["a", "a"]),
            ("b", "a", vec!["b", "a", "b"]),
            ("d", "a", vec!["d", "a", "b", "c", "d"]),
            ("new", "new", vec!["new", "new"]),
        ] {
            let fault = add(&mut roles, member, role);
            assert_eq!(
                fault,
                Err(Fault::Cycle { chain: chain.into_iter().map(str::to_owned).collect() })
            );
        }
        add(&mut roles, "a", "d").expect("the refused memberships left nothing behind");
    }

    #[test]
    fn eight_memberships_in_a_row_are_accepted_and_nine_refused() {
        let mut roles = Roles::default();
        for (member, role) in line(0, 8) {
            roles.add(member, role).unwrap();
        }
        let too_deep = Err(Fault::TooDeep { links: 9, links_max: 8 });
        assert_eq!(add(&mut roles, "n8", "n9"), too_deep);
        assert_eq!(add(&mut roles, "new", "n0"), too_deep);
        assert_eq!(add(&mut roles, "new", "n1"), Ok(()));
        assert_eq!(roles.held_by("n0").len(), 9);
        assert_eq!(roles.held_by("new").len(), 9);
    }

    #[test]
    fn depth_is_counted_through_a_membership_in_the_middle() {
        let mut roles = Roles::default();
        for (member, role) in line(0, 4).into_iter().chain(line(5, 9)) {
            roles.add(member, role).unwrap();
        }
        assert_eq!(add(&mut roles, "n4", "n5"), Err(Fault::TooDeep { links: 9, links_max: 8 }));
        assert_eq!(add(&mut roles, "n3", "n5"), Ok(()));
    }

    #[test]
    fn depth_is_that_of_the_longest_way() {
        let mut roles = Roles::default();
        for (member, role) in line(0, 8) {
            roles.add(member, role).unwrap();
        }
        add(&mut roles, "n0", "n8").unwrap();
        assert_eq!(add(&mut roles, "n8", "top"), Err(Fault::TooDeep { links: 9, links_max: 8 }));
    }

    #[test]
    fn a_membership_said_twice_is_as_once() {
        let roles = roles(&[("a", "b"), ("a", "b")]);
        assert_eq!(roles.held_by("a"), BTreeSet::from(["a", "b"]));
    }

    #[test]
    fn a_dense_graph_is_resolved_without_walking_every_path() {
        // 9 floors of 12 names, each a member of all on the floor above: 12^8 paths.
        let mut roles = Roles::default();
        for floor in 0..8 {
            for (member, role) in (0..144).map(|n| (n / 12, n % 12)) {
                add(&mut roles, &format!("{floor}-{member}"), &format!("{}-{role}", floor + 1))
                    .unwrap();
            }
        }
        assert_eq!(roles.held_by("0-0").len(), 1 + 8 * 12);
        assert!(matches!(add(&mut roles, "8-0", "0-0"), Err(Fault::Cycle { .. })));
    }
}
