//! What a right permits.

use std::fmt;

use serde::Deserialize;

/// A kind of access.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Permission {
    /// `read_latest`, `read`, and tails.
    Read,
    /// `add`, plain and exactly once. Also to the dead-letter stream of a consumer.
    Add,
    /// `read_group`, `read_pending`, `ack`, and consumers.
    Consume,
    /// `claim`, and consumers that reclaim idle entries.
    Claim,
    /// `pending_summary`, `pending`, and `consumers`.
    Inspect,
    /// `create_group`, `remove_consumer`, and consumers that create their group.
    Manage,
    /// Adds with a `maxlen` that the client chooses: they delete entries.
    Trim,
}

impl Permission {
    /// Every permission.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::Add,
        Self::Consume,
        Self::Claim,
        Self::Inspect,
        Self::Manage,
        Self::Trim,
    ];

    /// Returns its name in a configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Add => "add",
            Self::Consume => "consume",
            Self::Claim => "claim",
            Self::Inspect => "inspect",
            Self::Manage => "manage",
            Self::Trim => "trim",
        }
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Permissions as bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct PermissionSet(u8);

impl PermissionSet {
    pub(super) const fn contains(self, permission: Permission) -> bool {
        self.0 & bit(permission) != 0
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        let bits = permissions.into_iter().map(bit);
        Self(bits.fold(0, |set, bit| set | bit))
    }
}

const fn bit(permission: Permission) -> u8 {
    1 << permission as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_contains_what_it_is_made_of() {
        for permission in Permission::ALL {
            let set: PermissionSet = [permission].into_iter().collect();
            for other in Permission::ALL {
                assert_eq!(set.contains(other), other == permission);
            }
        }
        let all: PermissionSet = Permission::ALL.into_iter().collect();
        assert!(Permission::ALL.iter().all(|p| all.contains(*p)));
        assert!(!PermissionSet::default().contains(Permission::Read));
    }
}
