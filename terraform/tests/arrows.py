"""The arrows of docs/architecture.md, written down a second time: what may speak to what, at which port.

`terraform/modules/arrows` makes rules from its table; these must come out of it, both ends, and nothing else.
"""

USERS, TASKS, WORKERS, QUERY_USERS, QUERY_TASKS, EGRESS, TLS, POSTGRES, NFS = 7000, 7001, 7002, 7010, 7011, 7030, 443, 5432, 2049

ARROWS = {
    ("edge", "dispatcher", USERS),
    ("edge", "query", QUERY_USERS),
    ("worker", "dispatcher", WORKERS),
    ("worker", "dispatcher", TASKS),
    ("query", "dispatcher", WORKERS),
    ("query", "dispatcher", USERS),
    ("egress", "dispatcher", WORKERS),
    ("egress", "dispatcher", USERS),
    ("udf", "dispatcher", TASKS),
    ("udf", "query", QUERY_TASKS),
    ("udf", "egress", EGRESS),
    ("udf", "images", TLS),
    ("operator", "dispatcher", TASKS),
    ("operator", "query", QUERY_TASKS),
    ("operator", "egress", EGRESS),
    ("operator", "images", TLS),
    ("operator", "endpoints", TLS),
    ("dispatcher", "state-database", POSTGRES),
    ("dispatcher", "hot-database", POSTGRES),
    ("query", "hot-database", POSTGRES),
    ("dispatcher", "key-folder", NFS),
} | {(service, place, TLS) for service in ("dispatcher", "query", "worker", "egress") for place in ("endpoints", "images")}

TO_S3 = {"dispatcher", "query", "worker", "egress", "udf", "operator"}
FROM_INTERNET = {("edge", TLS)}
TO_INTERNET = {("egress", TLS)}

# A task starts no connection to these, and nothing starts one to a task.
NEVER_FROM_TASKS = {"state-database", "hot-database", "key-folder", "worker", "edge", "endpoints"}


def rules(world):
    """(from, to, port) of every rule, each side's as it says itself: groups by name, `s3`, or an address."""
    names = world.group_names()
    out, into = set(), set()
    for type_, found in (("aws_vpc_security_group_egress_rule", out), ("aws_vpc_security_group_ingress_rule", into)):
        for rule in world.of(type_):
            here = names[rule.values["security_group_id"]]
            there = _other(rule.values, names)
            port = _port(rule.values)
            found.add((here, there, port) if found is out else (there, here, port))
    for group in world.of("aws_security_group", "aws_default_security_group"):
        here = names[group.values["id"]]
        for found, inline in ((out, "egress"), (into, "ingress")):
            for rule in _inline(world, group, inline):
                found.add((here, rule, None) if found is out else (rule, here, None))
    return out, into


def _inline(world, group, side):
    """Rules in the group itself. State shows rules that are resources of their own here, too: those are left to them."""
    if group.type == "aws_default_security_group":
        return [str(rule.get("cidr_blocks")) for rule in group.get(side, [])]
    return []


def _other(values, names):
    if values.get("referenced_security_group_id"):
        return names.get(values["referenced_security_group_id"], "a group of somebody else's")
    if values.get("prefix_list_id"):
        return "s3"
    return values.get("cidr_ipv4") or values.get("cidr_ipv6")


def _port(values):
    if values["ip_protocol"] != "tcp" or values["from_port"] != values["to_port"]:
        return f"{values['ip_protocol']} {values.get('from_port')}-{values.get('to_port')}"
    return values["from_port"]
