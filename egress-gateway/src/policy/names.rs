//! Names that are not looked up.

use trace_contracts::HostName;

/// Top-level names without a meaning in the public DNS: RFC 6761 (`localhost`, `invalid`, `test`, `example`),
/// RFC 6762 (`local`), RFC 7686 (`onion`), RFC 9476 (`alt`), ICANN's resolution 2024.07.29.06 (`internal`), and those
/// that ICANN will not delegate because private networks use them (`corp`, `home`, `mail`, `lan`).
const SPECIAL_TOP: [&str; 12] = [
    "localhost",
    "invalid",
    "test",
    "example",
    "local",
    "onion",
    "alt",
    "internal",
    "corp",
    "home",
    "mail",
    "lan",
];

/// `arpa` is for infrastructure, with `home.arpa` (RFC 8375) and `ipv4only.arpa` (RFC 7050) in it; `localdomain` is
/// what C libraries were long configured with.
const INFRASTRUCTURE: [&str; 2] = ["arpa", "localdomain"];

/// Names under which clouds serve credentials to whoever asks from inside.
const METADATA: [&str; 7] = [
    "metadata.google.internal",
    "metadata.goog",
    "metadata",
    "instance-data",
    "instance-data.ec2.internal",
    "metadata.azure.internal",
    "metadata.platformequinix.com",
];

fn is_at_or_below(name: &str, top: &str) -> bool {
    name.strip_suffix(top).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Whether this is a cloud's metadata service.
pub(super) fn is_metadata(name: &HostName) -> bool {
    METADATA.iter().any(|metadata| is_at_or_below(name, metadata))
}

/// Whether the public DNS has nothing to say of this name; one label alone would be a matter of search lists.
pub(super) fn is_special(name: &HostName) -> bool {
    let special = SPECIAL_TOP.iter().chain(&INFRASTRUCTURE).any(|top| is_at_or_below(name, top));
    special || !name.contains('.')
}
