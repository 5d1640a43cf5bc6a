//! The way out: other destinations than the granted ones, addresses that are not public, tricks with names,
//! heads and tunnels, budgets, tokens.

use trace_controls::Protection::*;

use crate::{
    stolen,
    vector::{
        Attack::{Outside, Reaching, Shared},
        Control::{self, Layers, Off, Planted, Without},
        Denial, Plane, Vector, denial, saying,
    },
};

const EGRESS: Plane = Plane::Egress;
const NOT_GRANTED: &[Denial] = &[saying("http 403 forbidden", "not_granted")];
/// One answer for whatever follows from a name or an address.
const UNREACHABLE: &[Denial] = &[saying("http 503 unavailable", "the destination could not be reached")];
const MALFORMED: &[Denial] = &[denial("http 400 bad_request")];
/// By the proxy of the sandbox, before the gateway sees it.
const NO_HEAD: &[Denial] = &[denial("http 400")];
const NO_TUNNEL: &[Denial] = &[denial("tls unrecognized_name")];
const OVER: &[Denial] = &[denial("http 407 revoked")];
const NOBODY_THERE: &[Denial] = &[denial("errno EACCES"), denial("errno ECONNREFUSED")];
const PUBLIC: Control = Off(PublicAddresses);

#[rustfmt::skip]
pub const VECTORS: &[Vector] = &[
    EGRESS.vector("egress-without-grant", "find a proxy in a task that is granted no destination", Shared, NOBODY_THERE, Off(WayOut)),
    EGRESS.vector("egress-other-host", "a name that is not granted, beside one that is", Reaching, NOT_GRANTED, Off(EgressGrants)),
    EGRESS.vector("egress-other-port", "another port of a host that is granted", Reaching, NOT_GRANTED, Off(EgressGrants)),
    EGRESS.vector("egress-tunnel-to-other-host", "a tunnel to a name that is not granted", Reaching, NOT_GRANTED, Off(EgressGrants)),
    EGRESS.vector("egress-address-notations", "a private address in seven notations of `inet_aton`", Reaching, MALFORMED, Planted),
    EGRESS.vector("egress-private-address", "a private address that is granted", Reaching, UNREACHABLE, PUBLIC),
    EGRESS.vector("egress-mapped-address", "the same address inside one of IPv6", Reaching, UNREACHABLE, PUBLIC),
    EGRESS.vector("egress-private-name", "a granted name that resolves to a private address", Reaching, UNREACHABLE, PUBLIC),
    EGRESS.vector("egress-mixed-name", "a granted name with a private address and one that may be reached", Reaching, UNREACHABLE, PUBLIC),
    EGRESS.vector("egress-alias-of-private", "a granted name that is an alias of a private one", Reaching, UNREACHABLE, PUBLIC),
    EGRESS.vector("egress-alias-chain", "a granted name behind twelve aliases", Reaching, UNREACHABLE, Off(AliasBound)),
    EGRESS.vector("egress-rebinding", "a granted name that turns from one address to a private one between two requests", Reaching, UNREACHABLE, PUBLIC),
    EGRESS.vector("egress-metadata-name", "the name of a cloud's metadata service, granted, at an address that may be reached", Reaching, UNREACHABLE, Off(CloudMetadata)),
    EGRESS.vector("egress-metadata-address", "a granted name that resolves to 169.254.169.254", Reaching, UNREACHABLE,
        Without("it would ask the metadata service of the machine that this runs on; `egress-metadata-name` and `egress-private-name` show what stops it")),
    EGRESS.vector("egress-platform", "the platform's own listener for workers and planes, by a granted name", Reaching, UNREACHABLE, PUBLIC),
    EGRESS.vector("egress-proxy-itself", "the gateway through the gateway, by a granted name", Reaching, UNREACHABLE, PUBLIC),
    EGRESS.vector("egress-other-server-name", "TLS for another server in a tunnel", Reaching, NO_TUNNEL, Off(TunnelHello)),
    EGRESS.vector("egress-no-server-name", "TLS for no server in a tunnel to a name", Reaching, NO_TUNNEL, Off(TunnelHello)),
    EGRESS.vector("egress-no-tls", "a plain request, SSH and SMTP in a tunnel", Reaching, NO_TUNNEL, Off(TunnelHello)),
    EGRESS.vector("egress-host-differs", "a `Host` header that names another host than the address", Reaching, &[saying("http 400 bad_request", "host_differs")], Layers(&[HostChecked, HostWritten])),
    EGRESS.vector("egress-other-forms", "addresses with a user, another scheme, a port of 0, a dot at the end; tunnels with a user and without a port", Reaching, MALFORMED, Planted),
    EGRESS.vector("egress-smuggling", "a request within a request: two lengths, a length and chunks, other codings, bare line ends, folded lines, spaces before colons", Reaching, NO_HEAD, Planted),
    EGRESS.vector("egress-bytes", "more bytes than are granted", Reaching, &[saying("http 422 limit_exceeded", "byte_budget")], Off(EgressBudget)),
    EGRESS.vector("egress-requests", "more requests than are granted", Reaching, &[saying("http 422 limit_exceeded", "request_budget")], Off(EgressBudget)),
    EGRESS.vector("egress-own-token", "a token of its own making for more than is granted, in four spellings of the header; well signed", Reaching, NOT_GRANTED, Off(OwnToken)),
    EGRESS.vector("egress-token-of-another", "the token of another attempt, which is granted more; well signed", Reaching, NOT_GRANTED, Layers(&[OwnToken, LivingAttempt])),
    EGRESS.vector("cancelled-at-gateway", "the token of a cancelled attempt at the gateway", Outside(stolen::cancelled_at_gateway), OVER, Off(LivingAttempt)),
    EGRESS.vector("completed-at-gateway", "the token of a completed attempt at the gateway", Outside(stolen::completed_at_gateway), OVER, Off(LivingAttempt)),
    EGRESS.vector("superseded-at-gateway", "the token of an attempt after which another runs, at the gateway", Outside(stolen::superseded_at_gateway), OVER, Off(LivingAttempt)),
];
