"""What runs: workers from none, the public edge, and the names that may be asked for."""

import re


def workers_start_at_none(world):
    """The workers' count goes down to zero, up to a bound, by the queue in both directions."""
    targets = [t for t in world.of("aws_appautoscaling_target") if t.values["resource_id"].endswith("/worker")]
    if len(targets) != 1:
        yield "nothing scales the workers"
        return
    if targets[0].values["min_capacity"] != 0:
        yield f"{targets[0].values['min_capacity']} workers run when there is nothing to do"
    if not 1 <= targets[0].values["max_capacity"] <= 1000:
        yield "there is no bound on workers"
    if world.one("aws_ecs_service", name="worker").get("desired_count", 0) != 0:
        yield "workers are started before there is work"
    policies = {p.values["arn"]: p.values for p in world.of("aws_appautoscaling_policy")}
    driven = set()
    for alarm in world.of("aws_cloudwatch_metric_alarm"):
        found = [policies[arn] for arn in alarm.get("alarm_actions", []) if arn in policies]
        queues = {q["metric"][0]["dimensions"]["QueueName"] for q in alarm.get("metric_query", []) if q.get("metric")}
        for policy in found:
            driven.add(policy["name"])
            if queues != {q.values["name"] for q in world.of("aws_sqs_queue") if "-wakeups-" in q.values["name"]}:
                yield f"{alarm.values['alarm_name']} does not look at every queue"
    for policy in policies.values():
        if policy["name"] not in driven:
            yield f"nothing triggers {policy['name']}"
    to = [s["scaling_adjustment"] for p in policies.values() for s in p["step_scaling_policy_configuration"][0]["step_adjustment"] if p["name"].endswith("-in")]
    if to != [0]:
        yield "workers are not stopped when there is nothing to do"


def the_edge_answers_users_only(world):
    """One listener; what is for tasks and workers is answered 404 before what is for users is forwarded; everything else
    is 404; the firewall is attached, refuses requests without a token, limits addresses, and never logs a token."""
    listeners = world.of("aws_lb_listener")
    if [(listener.values["port"], listener.values["protocol"]) for listener in listeners] != [(443, "HTTPS")]:
        yield "the load balancer has another listener than HTTPS at 443"
    for listener in listeners:
        action = listener.values["default_action"][0]
        if action["type"] != "fixed-response" or action["fixed_response"][0]["status_code"] != "404":
            yield "what no rule names is forwarded"
    rules = sorted(world.of("aws_lb_listener_rule"), key=lambda rule: rule.values["priority"])
    for path, wanted in (("/v1/task/token", None), ("/v1/task", None), ("/internal/claim", None), ("/v1/query", "query"), ("/v1/runs", "dispatcher"), ("/metrics", None), ("/.well-known/jwks.json", None)):
        found = _forwarded(rules, path, world)
        if found != wanted:
            yield f"{path} goes to {found}"
    associations = {a.values["web_acl_arn"] for a in world.of("aws_wafv2_web_acl_association") if a.get("resource_arn") in {b.values["arn"] for b in world.of("aws_lb")}}
    for acl in world.of("aws_wafv2_web_acl"):
        if acl.values["arn"] not in associations:
            yield "the firewall is not in front of the load balancer"
        rules = {rule["name"]: rule for rule in acl.values["rule"]}
        yield from _token_rule(rules)
        if not rules.get("rate-by-address", {}).get("action", [{}])[0].get("block"):
            yield "an address may ask as often as it likes"
        if any(rule["visibility_config"][0]["sampled_requests_enabled"] for rule in rules.values()):
            yield "samples of requests keep tokens"
    redacted = [f["single_header"][0]["name"] for c in world.of("aws_wafv2_web_acl_logging_configuration") for f in c.values["redacted_fields"] if f.get("single_header")]
    if world.of("aws_wafv2_web_acl") and "authorization" not in redacted:
        yield "the firewall's log keeps tokens"
    if world.of("aws_lb") and not world.of("aws_wafv2_web_acl"):
        yield "there is no firewall"
    yield from ("invalid header fields are passed on" for b in world.of("aws_lb") if not b.get("drop_invalid_header_fields"))


def _token_rule(rules):
    rule = rules.get("no-token")
    if not rule or not rule["action"][0].get("block"):
        yield "requests without a token reach the services"
        return
    match = rule["statement"][0]["not_statement"][0]["statement"][0]["regex_match_statement"][0]
    expression = match["regex_string"]
    token = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1c2VyIn0.c2lnbmF0dXJl-_c2lnbmF0dXJl"
    for header, passes in ((f"Bearer {token}", True), (token, False), ("Basic dXNlcjpwYXNzd29yZA==", False), ("Bearer x", False), (f"Bearer {token} ", False), ("", False)):
        if bool(re.search(expression, header)) != passes:
            yield f"the firewall {'refuses' if passes else 'takes'} `{header[:20]}`"


def _forwarded(rules, path, world):
    for rule in rules:
        for condition in rule.values["condition"]:
            for block in condition.get("path_pattern") or []:
                if any(re.fullmatch(re.escape(p).replace(r"\*", ".*"), path) for p in block["values"]):
                    action = rule.values["action"][0]
                    groups = {g.values["arn"]: g.values["name"].removeprefix(f"{world.prefix}-") for g in world.of("aws_lb_target_group")}
                    return groups.get(action.get("target_group_arn")) if action["type"] == "forward" else None
    return None


# Names of the platform, without its own zone; everything else on the list is a finding.
NAMES = {
    "s3.eu-west-1.amazonaws.com", "*.s3.eu-west-1.amazonaws.com", "*.eu-west-1.rds.amazonaws.com",
    "*.efs.eu-west-1.amazonaws.com", "api.ecr.eu-west-1.amazonaws.com", "*.dkr.ecr.eu-west-1.amazonaws.com",
    *(f"{service}.eu-west-1.amazonaws.com" for service in ("sqs", "sts", "kms", "secretsmanager", "logs", "ecs", "lambda")),
    "cognito-idp.eu-west-1.amazonaws.com", "hooks.example.com",
}  # fmt: skip


def names_are_a_list(world):
    """The resolver answers the list, refuses everything else, and answers nothing when the firewall can't be asked."""
    lists = {d.address.split(".")[-1]: set(d.get("domains", [])) for d in world.of("aws_route53_resolver_firewall_domain_list")}
    wanted = {f"{name}." for name in NAMES} | {f"*.{world.prefix}.internal."}
    yield from (f"the name {name} may be asked for" for name in sorted(lists.get("allowed", set()) - wanted))
    yield from (f"the name {name} may not be asked for" for name in sorted(wanted - lists.get("allowed", set())))
    if lists.get("everything") != {"*."}:
        yield "what is refused is not everything else"
    rules = sorted(world.of("aws_route53_resolver_firewall_rule"), key=lambda rule: rule.values["priority"])
    if [(r.address.split(".")[-1], r.values["action"]) for r in rules] != [("allowed", "ALLOW"), ("everything_else", "BLOCK")]:
        yield "the rules are not: allow the list, then block everything"
    if not world.of("aws_route53_resolver_firewall_rule_group_association"):
        yield "the rules are of no VPC"
    if [c.get("firewall_fail_open") for c in world.of("aws_route53_resolver_firewall_config")] != ["DISABLED"]:
        yield "when the firewall can't be asked, every name is answered"


CHECKS = [workers_start_at_none, the_edge_answers_users_only]
ON_THE_PLAN = [names_are_a_list]
