"""Who reaches whom: rules of security groups, routes, and both together."""

import ipaddress
import re

from arrows import ARROWS, FROM_INTERNET, NEVER_FROM_TASKS, TO_INTERNET, TO_S3, rules

INTERNET = "0.0.0.0/0"


def rules_are_the_arrows(world):
    """Each arrow has a rule on both ends, and there is no other rule."""
    out, into = rules(world)
    wanted_out = ARROWS | {(group, "s3", 443) for group in TO_S3} | {(group, INTERNET, port) for group, port in TO_INTERNET}
    wanted_into = ARROWS | {(INTERNET, group, port) for group, port in FROM_INTERNET}
    for name, found, wanted in (("out", out, wanted_out), ("in", into, wanted_into)):
        yield from (f"a rule {name} that is no arrow: {rule}" for rule in sorted(found - wanted, key=str))
        yield from (f"an arrow without its rule {name}: {rule}" for rule in sorted(wanted - found, key=str))


def untrusted_code_is_shut_in(world):
    """From the tasks' groups and subnets there is no way to a database, to other tasks' starters or to the internet,
    by rules and routes together; and each of the two alone says so, too."""
    out, into = rules(world)
    routes = _routes(world)
    for task in ("udf", "operator"):
        for group in NEVER_FROM_TASKS - ({"endpoints"} if task == "operator" else set()):
            ports = {port for here, there, port in out if (here, there) == (task, group)}
            ports &= {port for here, there, port in into if (here, there) == (task, group)}
            yield from (f"{task} reaches {group} at {port}" for port in ports)
        for here, there, port in out:
            if here == task and _is_public(there):
                yield f"a rule lets {task} out to {there} at {port}"
                if routes.get("tasks", {}).get("default"):
                    yield f"{task} reaches the internet: a rule to {there} and a default route"
    for kind in ("tasks", "services", "data"):
        if kind not in routes:
            yield f"the subnets of {kind} have no route table of their own"
        elif routes[kind]["default"]:
            yield f"subnets of {kind} have a default route to {routes[kind]['default']}"


def nothing_connects_to_tasks(world):
    """No group may be the source of a connection into untrusted code, operators or workers."""
    _, into = rules(world)
    yield from (f"{here} may connect to {there} at {port}" for here, there, port in into if there in ("udf", "operator", "worker"))


def the_internet_is_at_two_places(world):
    """Only the load balancer's subnets touch the internet gateway, and only the egress gateway's the NAT gateway; no
    subnet gives out public addresses, no task has one, and the VPC's default group has no rule."""
    for kind, table in _routes(world).items():
        allowed = {"public": "igw", "egress": "nat"}.get(kind)
        for target in table["default"]:
            if allowed is None or not target.startswith(allowed):
                yield f"subnets of {kind} route to {target}"
    yield from (f"{s.address} gives out public addresses" for s in world.of("aws_subnet") if s.get("map_public_ip_on_launch"))
    for service in world.of("aws_ecs_service"):
        if service.values["network_configuration"][0]["assign_public_ip"]:
            yield f"tasks of {service.values['name']} have public addresses"
    for group in world.of("aws_default_security_group"):
        if group.get("ingress") or group.get("egress"):
            yield "the default security group has rules"
    out, _ = rules(world)
    for here, there, port in out:
        if _is_public(there) and (here, port) not in TO_INTERNET:
            yield f"{here} may reach {there} at {port}"


def untrusted_code_is_where_it_should_be(world):
    """The launchers' outputs aside: databases lie in data subnets, services in theirs, the gateway in egress subnets."""
    kind_of = {subnet.values["id"]: subnet.values["tags"]["Kind"] for subnet in world.of("aws_subnet")}
    for group in world.of("aws_db_subnet_group"):
        for subnet in group.values["subnet_ids"]:
            if kind_of[subnet] != "data":
                yield f"databases lie in a subnet of {kind_of[subnet]}"
    for service in world.of("aws_ecs_service"):
        wanted = "egress" if service.values["name"] == "egress" else "services"
        for subnet in service.values["network_configuration"][0]["subnets"]:
            if kind_of[subnet] != wanted:
                yield f"{service.values['name']} lies in a subnet of {kind_of[subnet]}"
    for endpoint in world.of("aws_vpc_endpoint"):
        for subnet in endpoint.get("subnet_ids", []):
            if kind_of[subnet] != "services":
                yield f"{endpoint.address} lies in a subnet of {kind_of[subnet]}"


def _routes(world):
    """By kind of subnet: targets of default routes, from the tables that its subnets are associated with."""
    defaults = {}
    for route in world.of("aws_route"):
        if route.get("destination_cidr_block") == INTERNET or route.get("destination_ipv6_cidr_block") == "::/0":
            target = route.get("gateway_id") or route.get("nat_gateway_id") or route.get("network_interface_id") or "something"
            defaults.setdefault(route.values["route_table_id"], []).append(target)
    for table in world.of("aws_route_table"):
        for route in table.get("route", []):
            if route.get("cidr_block") == INTERNET:
                target = route.get("gateway_id") or route.get("nat_gateway_id") or "something"
                known = defaults.setdefault(table.values["id"], [])
                if target not in known:
                    known.append(target)
    kind_of = {subnet.values["id"]: subnet.values["tags"]["Kind"] for subnet in world.of("aws_subnet")}
    result = {}
    for association in world.of("aws_route_table_association"):
        table = association.values["route_table_id"]
        entry = result.setdefault(kind_of[association.values["subnet_id"]], {"default": []})
        entry["default"] += [target for target in defaults.get(table, []) if target not in entry["default"]]
    return result


def _is_public(place):
    try:
        return not ipaddress.ip_network(place).is_private or place in (INTERNET, "::/0")
    except ValueError:
        return False


def groups_can_be_made(world):
    """AWS refuses descriptions with other characters than these, and moto does not."""
    for group in world.of("aws_security_group", "aws_vpc_security_group_ingress_rule", "aws_vpc_security_group_egress_rule"):
        if not re.fullmatch(r"[A-Za-z0-9 ._\-:/()#,@\[\]+=&;{}!$*]{1,255}", group.get("description", "")):
            yield f"{group.address} is described as `{group.get('description', '')}`"


CHECKS = [
    groups_can_be_made,
    rules_are_the_arrows,
    untrusted_code_is_shut_in,
    nothing_connects_to_tasks,
    the_internet_is_at_two_places,
    untrusted_code_is_where_it_should_be,
]
