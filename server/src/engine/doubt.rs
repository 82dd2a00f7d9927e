//! The words for a log of which nobody knows the witness policy, wherever it is said that it takes nothing and why. Not here: how
//! that comes to be known (`mend`, `readmit`), nor what is refused meanwhile.

/// Why nobody knows it: of `whose` witness policy.
#[must_use]
pub fn policy_in_doubt(whose: &str) -> String {
    format!("a repair lost {whose}, or a restore found it changed since")
}

/// What an operator types to say which policy a log has, by its name or what stands for it.
#[must_use]
pub fn say_which_policy(log: &str) -> String {
    format!("cairnd log policy {log} --policy FILE, or --none")
}

/// The policy of a log that is named before.
pub(crate) const OF_THE_LOG: &str = "the log's witness policy";
/// Where a log's name is typed.
pub(crate) const NAME: &str = "NAME";
