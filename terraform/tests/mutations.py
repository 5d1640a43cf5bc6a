"""For each check, worlds that it has to find fault with. A check that no broken world can fail proves nothing.

Each entry: what is broken, how, and words of the finding. The world is a copy of what was applied.
"""

import copy
import json

import check_configuration
import check_identity
import check_keeping
import check_network
import check_policies
import check_running
from world import Resource

ACCOUNT = "123456789012"


def _first(world, type_, ends=""):
    return next(r for r in world.of(type_) if r.address.endswith(ends))


def _set(type_, ends="", **values):
    def broken(world):
        _first(world, type_, ends).values.update(values)

    return broken


def _drop(type_, ends=""):
    def broken(world):
        world.resources.remove(_first(world, type_, ends))

    return broken


def _rule(side, here, there=None, port=443, **more):
    """Another rule of a security group."""

    def broken(world):
        ids = {name: id_ for id_, name in world.group_names().items()}
        values = {"security_group_id": ids[here], "referenced_security_group_id": ids.get(there), "ip_protocol": "tcp", "from_port": port, "to_port": port} | more
        world.resources.append(Resource("added", f"aws_vpc_security_group_{side}_rule", values))

    return broken


def _both(*steps):
    def broken(world):
        for step in steps:
            step(world)

    return broken


def _route(kind, **target):
    def broken(world):
        table = _first(world, "aws_route_table", f'["{kind}"]').values["id"]
        world.resources.append(Resource("added", "aws_route", {"route_table_id": table, "destination_cidr_block": "0.0.0.0/0"} | target))

    return broken


def _policy(type_, ends, change, name="policy"):
    """Changes the document of a policy."""

    def broken(world):
        resource = _first(world, type_, ends)
        document = json.loads(resource.values[name])
        change(document["Statement"])
        resource.values[name] = json.dumps(document)

    return broken


def _allow(action, resource="arn:aws:s3:::x", **more):
    return lambda found: found.append({"Sid": "Added", "Effect": "Allow", "Action": [action], "Resource": [resource]} | more)


def _without(sid):
    def change(found):
        found[:] = [statement for statement in found if statement.get("Sid") != sid]

    return change


def _unconditioned(sid):
    def change(found):
        for statement in found:
            if statement.get("Sid") == sid:
                del statement["Condition"]

    return change


def _container(family, **values):
    def broken(world):
        task = next(t for t in world.of("aws_ecs_task_definition") if t.values["family"].endswith(family))
        containers = json.loads(task.values["container_definitions"])
        containers[-1].update(values)
        task.values["container_definitions"] = json.dumps(containers)

    return broken


def _configured(family, change):
    """Changes what a service is told."""

    def broken(world):
        task = next(t for t in world.of("aws_ecs_task_definition") if t.values["family"].endswith(family))
        containers = json.loads(task.values["container_definitions"])
        variable = next(v for v in containers[0]["environment"] if v["name"] == "TRACE_CONFIGURATION")
        document = json.loads(variable["value"])
        change(document)
        variable["value"] = json.dumps(document)
        task.values["container_definitions"] = json.dumps(containers)

    return broken


def _variable(family, name, value):
    """Sets a variable of a container, or leaves it out."""

    def broken(world):
        task = next(t for t in world.of("aws_ecs_task_definition") if t.values["family"].endswith(family))
        containers = json.loads(task.values["container_definitions"])
        kept = [v for v in containers[-1]["environment"] if v["name"] != name]
        containers[-1]["environment"] = kept + ([] if value is None else [{"name": name, "value": value}])
        task.values["container_definitions"] = json.dumps(containers)

    return broken


def _nested(type_, path, value, ends=""):
    """Sets what lies deeper: a path of keys and places."""

    def broken(world):
        place = _first(world, type_, ends).values
        for step in path[:-1]:
            place = place[step]
        place[path[-1]] = value

    return broken


def _parameter(name, value):
    def broken(world):
        for parameter in _first(world, "aws_db_parameter_group").values["parameter"]:
            if parameter["name"] == name:
                parameter["value"] = value

    return broken


def _forget_queue(ends, queue):
    """An alarm that no longer looks at a queue."""

    def broken(world):
        alarm = _first(world, "aws_cloudwatch_metric_alarm", ends)
        alarm.values["metric_query"] = [
            query for query in alarm.values["metric_query"]
            if not query.get("metric") or not query["metric"][0]["dimensions"]["QueueName"].endswith(queue)
        ]  # fmt: skip

    return broken


def _waf(name, change):
    def broken(world):
        for rule in _first(world, "aws_wafv2_web_acl").values["rule"]:
            if rule["name"] == name:
                change(rule)

    return broken


def _token_expression(text):
    def change(rule):
        rule["statement"][0]["not_statement"][0]["statement"][0]["regex_match_statement"][0]["regex_string"] = text

    return change


DEFAULT_GROUP_RULE = {"cidr_blocks": ["0.0.0.0/0"], "from_port": 0, "to_port": 0, "protocol": "-1"}
OPEN = dict(cidr_ipv4="0.0.0.0/0")
ROLE, IN = "aws_iam_role_policy", ".identity."

MUTATIONS = {
    check_configuration.programs_read_what_is_rendered: [
        ("a setting that the gateway does not know", _configured("-egress", lambda c: c["service"].update(domains=[])), "unknown field `domains`"),
        ("the gateway's settings one level up", _configured("-egress", lambda c: c.update(c.pop("service"))), "egress-gateway check-config"),
        ("a way out that is none of the dispatcher's", _configured("-dispatcher", lambda c: c.update(egress="http://egress/")), "dispatcher check-config"),
        ("a query service without its issuer", _configured("-query", lambda c: c["service"].pop("users")), "missing field `users`"),
        ("a worker that is to call without TLS", _configured("-worker", lambda c: c.update(query="http://query.internal:7011/")), "without TLS"),
        ("a launcher that does not know where", _configured("-worker", lambda c: c["launcher"]["ecs"].pop("subnets")), "missing field `subnets`"),
        ("listeners for everybody without TLS", _configured("-query", lambda c: c.pop("transport")), "without TLS"),
        ("a command that the gateway does not have", _container("-egress", command=["--config", "/run/trace/config.json"]), "egress-gateway --config"),
        ("a health check that it does not have", _container("-query", healthCheck={"command": ["CMD", "/usr/bin/query-service", "health"]}), "query-service health"),
        ("a runner that does not know the store", _variable("-udf", "TRACE_OBJECT_STORE", None), "TRACE_OBJECT_STORE is not set"),
        ("a runner with an authority that is none", _variable("-udf", "TRACE_CA", "none"), "TRACE_CA"),
        ("no runner", _drop("aws_ecs_task_definition", ".udf[0]"), "the runner has no task definition"),
    ],
    check_configuration.what_is_named_is_there: [
        ("a file that nobody writes", _configured("-worker", lambda c: c.update(ca_file="/run/trace/authority.pem")), "nobody writes /run/trace/authority.pem"),
        ("a file where nothing may be written", _configured("-egress", lambda c: c.update(ready_file="/run/ready")), "/run/ready lies in no volume"),
        ("a runner without a folder", _container("-udf", mountPoints=[]), "/task is no volume"),
    ],
    check_configuration.every_call_is_protected: [
        ("plain HTTP", _configured("-egress", lambda c: c["service"].update(dispatcher="http://dispatcher.internal:7002/")), "is called without TLS"),
        ("allowed to", _configured("-worker", lambda c: c.update(plain_http="allow")), "may do without TLS"),
        ("a plain listener", _configured("-egress", lambda c: c.update(transport="plain")), "may do without TLS"),
        ("a runner that may", _variable("-udf", "TRACE_PLAIN_HTTP", "allow"), "may do without TLS"),
    ],
    check_network.groups_can_be_made: [
        ("an apostrophe", _set("aws_security_group", '["udf"]', description="somebody's"), "is described as"),
        ("no description", _set("aws_vpc_security_group_ingress_rule", "", description=None), "is described as"),
    ],
    check_network.rules_are_the_arrows: [
        ("a rule too many", _rule("egress", "query", "state-database", 5432), "no arrow"),
        ("a rule from an address", _rule("ingress", "dispatcher", cidr_ipv4="10.0.0.0/8"), "no arrow"),
        ("all ports", _rule("egress", "udf", "dispatcher", ip_protocol="-1"), "no arrow"),
        ("a rule too few", _drop("aws_vpc_security_group_ingress_rule", '["udf-dispatcher-dispatcher_tasks"]'), "without its rule in"),
    ],
    check_network.untrusted_code_is_shut_in: [
        ("the database takes from tasks", _both(_rule("egress", "udf", "state-database", 5432), _rule("ingress", "state-database", "udf", 5432)), "udf reaches state-database"),
        ("tasks may go out", _rule("egress", "udf", **OPEN), "lets udf out"),
        ("tasks may go out, and have a way", _both(_rule("egress", "udf", **OPEN), _route("tasks", nat_gateway_id="nat-1")), "udf reaches the internet"),
        ("tasks' subnets have a way out", _route("tasks", nat_gateway_id="nat-1"), "tasks have a default route"),
        ("services' subnets have a way out", _route("services", gateway_id="igw-1"), "services have a default route"),
        ("operators reach workers", _both(_rule("egress", "operator", "worker", 7020), _rule("ingress", "worker", "operator", 7020)), "operator reaches worker"),
    ],
    check_network.nothing_connects_to_tasks: [
        ("the dispatcher connects to tasks", _rule("ingress", "udf", "dispatcher", 22), "may connect to udf"),
        ("a shell into workers", _rule("ingress", "worker", cidr_ipv4="10.0.0.0/8", port=22), "may connect to worker"),
    ],
    check_network.the_internet_is_at_two_places: [
        ("databases with a way out", _route("data", gateway_id="igw-1"), "subnets of data route to igw-1"),
        ("the gateway without NAT", _both(lambda w: w.resources.append(Resource("added", "aws_route", {"route_table_id": _first(w, "aws_route_table", ".egress[0]").values["id"], "destination_cidr_block": "0.0.0.0/0", "gateway_id": "igw-1"}))), "subnets of egress route to igw-1"),
        ("public addresses", _set("aws_subnet", '["tasks-0"]', map_public_ip_on_launch=True), "public addresses"),
        ("a task with one", _nested("aws_ecs_service", ["network_configuration", 0, "assign_public_ip"], True), "public addresses"),
        ("a default group with rules", _set("aws_default_security_group", egress=[DEFAULT_GROUP_RULE]), "default security group"),
        ("the dispatcher may go out", _rule("egress", "dispatcher", **OPEN), "dispatcher may reach"),
    ],
    check_network.untrusted_code_is_where_it_should_be: [
        ("a service in the tasks' subnets", lambda w: _first(w, "aws_ecs_service", '["query"]').values["network_configuration"][0].update(subnets=[_first(w, "aws_subnet", '["tasks-0"]').values["id"]]), "query lies in a subnet of tasks"),
        ("a database in public", lambda w: _first(w, "aws_db_subnet_group").values.update(subnet_ids=[_first(w, "aws_subnet", '["public-0"]').values["id"]]), "databases lie in a subnet of public"),
    ],
    check_identity.no_wildcard_actions: [
        ("an action by pattern", _policy(ROLE, 'service["query"]', _allow("s3:Get*")), "query may s3:Get*"),
        ("everything but some", _policy(ROLE, 'service["query"]', lambda f: f.append({"Effect": "Allow", "NotAction": ["iam:*"], "Resource": ["x"]})), "by NotAction"),
        ("a policy from elsewhere", lambda w: w.resources.append(Resource("added", "aws_iam_role_policy_attachment", {})), "from elsewhere"),
        ("a user", lambda w: w.resources.append(Resource("added", "aws_iam_access_key", {})), "lasting keys"),
    ],
    check_identity.no_wildcard_resources: [
        ("on everything", _policy(ROLE, 'service["dispatcher"]', _allow("s3:GetObject", "*")), "dispatcher: Added"),
        ("an exception without a use", _policy(ROLE, 'service["worker"]', _without("FindLeakedTasks")), "no longer needed"),
    ],
    check_identity.roles_are_handed_over_to_tasks_only: [
        ("the dispatcher's role", _policy(ROLE, 'service["worker"]', _allow("iam:PassRole", f"arn:aws:iam::{ACCOUNT}:role/trace-x-dispatcher", Condition={"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}})), "hand over arn"),
        ("by another", _policy(ROLE, 'service["dispatcher"]', _allow("iam:PassRole")), "dispatcher may hand over roles"),
        ("to any service", _policy(ROLE, 'service["worker"]', _unconditioned("HandOverExecutionRoles")), "to any service"),
    ],
    check_identity.who_may_become_a_role: [
        ("anybody", _policy("aws_iam_role", "identity.aws_iam_role.session", lambda f: f[0].update(Principal={"AWS": "*"}), "assume_role_policy"), "anybody may become session"),
        ("the worker", _policy("aws_iam_role", "identity.aws_iam_role.session", lambda f: f[0].update(Principal={"AWS": f"arn:aws:iam::{ACCOUNT}:role/trace-dev-worker"}), "assume_role_policy"), "may become session"),
        ("another account's service", _policy("aws_iam_role", 'service["dispatcher"]', lambda f: f[0].pop("Condition"), "assume_role_policy"), "another account"),
    ],
    check_identity.untrusted_tasks_have_nothing: [
        ("a task role", _set("aws_ecs_task_definition", "udf[0]", task_role_arn="arn:aws:iam::123456789012:role/x"), "run as"),
        ("a secret", _container("-udf", secrets=[{"name": "X", "valueFrom": "y"}]), "given secrets"),
        ("more at the start", _policy(ROLE, 'execution["udf"]', _allow("secretsmanager:GetSecretValue")), "may ['secretsmanager:GetSecretValue']"),
        ("code inside a function", _policy(ROLE, "lambda_udf", _without("NotForTheCodeItself")), "code inside a function may ec2:CreateNetworkInterface"),
        ("more for functions", _policy(ROLE, "lambda_udf", _allow("logs:PutLogEvents")), "Lambda's role may"),
    ],
    check_identity.containers_are_hardened: [
        ("writes to its root", _container("-udf", readonlyRootFilesystem=False), "write to its root"),
        ("root", _container("-dispatcher", user="0:0"), "runs as root"),
        ("no user", _container("-dispatcher", user=""), "runs as root"),
        ("privileged", _container("-worker", privileged=True), "is privileged"),
        ("capabilities", _container("-udf", linuxParameters={"capabilities": {"drop": []}}), "keeps capabilities"),
        ("ptrace", _container("-udf", linuxParameters={"capabilities": {"drop": ["ALL"], "add": ["SYS_PTRACE"]}}), "given capabilities"),
        ("a tag", _container("-query", image="x/y:latest"), "by a tag"),
        ("a shell", _set("aws_ecs_service", '["query"]', enable_execute_command=True), "lets people in"),
        ("a secret in clear", _container("-query", environment=[{"name": "TRACE_SECRET_x", "value": "y"}]), "in clear"),
    ],
    check_identity.services_may_what_they_do: [
        ("too little", _policy(ROLE, 'service["dispatcher"]', _without("WakeWorkers")), "dispatcher may not sqs:SendMessage"),
        ("too much", _policy(ROLE, 'service["query"]', _allow("s3:PutObject", "arn:aws:s3:::*")), "query may s3:PutObject"),
        ("the platform's secrets", _policy(ROLE, 'execution["operator"]', _without("NeverThePlatformsSecrets")), "operator-execution may"),
        ("any algorithm", _policy(ROLE, 'service["dispatcher"]', _unconditioned("CertifySigningKeys")), "dispatcher may kms:Sign"),
    ],
    check_policies.buckets_refuse_plain_http: [
        ("objects", _policy("aws_s3_bucket_policy", "policy.data", _without("TlsOnly")), "without TLS"),
        ("logs", _policy("aws_s3_bucket_policy", "policy.logs", _without("TlsOnly")), "without TLS"),
        ("no policy", _drop("aws_s3_bucket_policy", "policy.data"), "without TLS"),
        ("a queue", _policy("aws_sqs_queue_policy", '["wakeups-ecs"]', _without("TlsOnly")), "takes messages without TLS"),
        ("the topic", _policy("aws_sns_topic_policy", "", _without("TlsOnly")), "takes messages without TLS"),
    ],
    check_policies.the_data_bucket_bounds_its_users: [
        (sid, _policy("aws_s3_bucket_policy", "policy.data", _without(sid)), "the bucket's policy lets")
        for sid in ("OtherAccounts", "OutsideOfTheVpc", "Tls12OrLater", "AnotherKey", "WithoutKms", "AttemptsOutsideOfData", "AttemptsOtherActions", "AttemptsListOutsideOfData", "QueryServiceReadsData", "QueryServiceNeverWrites", "DispatcherOutsideOfItsPrefixes")
    ] + [("too strict", _policy("aws_s3_bucket_policy", "policy.data", lambda f: f.append({"Effect": "Deny", "Principal": "*", "Action": "s3:PutObject", "Resource": "*"})), "keeps session from s3:PutObject")],
    check_policies.endpoints_let_out_nothing: [
        ("tasks' S3", _policy("aws_vpc_endpoint", "s3_tasks", _unconditioned("SessionsOfAttempts")), "SessionsOfAttempts does not ask"),
        ("services' S3", _policy("aws_vpc_endpoint", "s3_services", _unconditioned("OurPrincipalsOurBucket")), "does not ask"),
        ("a wider resource", _policy("aws_vpc_endpoint", "s3_services", lambda f: f[0].update(Resource=["*"], Condition={"StringEquals": {"aws:PrincipalAccount": ACCOUNT}})), "s3:PutObject arn:aws:s3:::attackers-bucket"),
        ("SQS", _policy("aws_vpc_endpoint", '["sqs"]', _unconditioned("OurPrincipalsOurResources")), "the endpoint of sqs"),
        ("strangers log in", _policy("aws_vpc_endpoint", '["ecr.api"]', _unconditioned("OurPrincipalsWithoutResource")), "lets strangers ask"),
        ("every action", _policy("aws_vpc_endpoint", '["kms"]', lambda f: f[0].update(Action=["kms:*"])), "lets ['kms:*'] through"),
        ("layers written", _policy("aws_vpc_endpoint", "s3_tasks", lambda f: f[-1].update(Action=["s3:GetObject", "s3:PutObject"])), "s3:PutObject arn:aws:s3:::prod-eu-west-1"),
        ("the queries' data for tasks", _policy("aws_vpc_endpoint", "s3_tasks", lambda f: f[0]["Condition"].pop("ArnEquals")), "s3_tasks lets"),
    ],
    check_keeping.everything_is_encrypted: [
        ("a database", _set("aws_db_instance", '["state"]', storage_encrypted=False), "is not encrypted"),
        ("a database by a key of AWS's", _set("aws_db_instance", '["hot"]', kms_key_id=None), "no kms_key_id"),
        ("insights", _set("aws_db_instance", '["hot"]', performance_insights_enabled=True, performance_insights_kms_key_id=None), "insights of"),
        ("a queue", _set("aws_sqs_queue", "", kms_master_key_id=None), "no kms_master_key_id"),
        ("a log group", _set("aws_cloudwatch_log_group", "", kms_key_id=""), "no kms_key_id"),
        ("a secret", _set("aws_secretsmanager_secret", "", kms_key_id=None), "no kms_key_id"),
        ("a bucket", _nested("aws_s3_bucket_server_side_encryption_configuration", ["rule", 0, "apply_server_side_encryption_by_default", 0, "sse_algorithm"], "AES256", ".data"), "not encrypted with KMS"),
        ("a bucket's setting", _drop("aws_s3_bucket_server_side_encryption_configuration", ".logs"), "not encrypted with KMS"),
        ("scratch", _set("aws_ecs_cluster", "", configuration=[]), "ephemeral storage"),
        ("TLS of databases", _parameter("rds.force_ssl", "0"), "without TLS"),
        ("old TLS", _parameter("ssl_min_protocol_version", "TLSv1"), "old versions"),
        ("the listener", _set("aws_lb_listener", "", ssl_policy="ELBSecurityPolicy-2016-08"), "without TLS 1.2"),
        ("a key", _set("aws_kms_key", '["data"]', enable_key_rotation=False), "is not rotated"),
    ],
    check_keeping.nothing_is_public: [
        ("a bucket", _set("aws_s3_bucket_public_access_block", ".data", block_public_policy=False), "block_public_policy is off"),
        ("no block", _drop("aws_s3_bucket_public_access_block", ".logs"), "is off"),
        ("a database", _set("aws_db_instance", '["hot"]', publicly_accessible=True), "is public"),
    ],
    check_keeping.what_must_not_be_lost_is_protected: [
        ("backups", _set("aws_db_instance", '["state"]', backup_retention_period=0), "backups of 0 days"),
        ("versions", _drop("aws_s3_bucket_versioning", ".data"), "keeps no versions"),
        ("one database", _drop("aws_db_instance", '["hot"]'), "not two databases"),
    ],
    check_keeping.evidence_is_kept_for_a_year: [
        ("for ever", _set("aws_cloudwatch_log_group", '["worker"]', retention_in_days=0), "kept for ever"),
        ("too short", _set("aws_cloudwatch_log_group", '["audit"]', retention_in_days=90), "kept for 90 days"),
        ("no flow log", _drop("aws_flow_log"), "who spoke to whom"),
        ("accepted only", _set("aws_flow_log", "", traffic_type="ACCEPT"), "who spoke to whom"),
        ("no DNS log", _drop("aws_route53_resolver_query_log_config_association"), "which names"),
    ],
    check_keeping.dead_letters_are_wired: [
        ("none", _set("aws_sqs_queue", 'wakeups["ecs"]', redrive_policy=""), "no dead-letter queue"),
        ("somebody else's", _set("aws_sqs_queue", 'wakeups["ecs"]', redrive_policy=json.dumps({"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:1:elsewhere", "maxReceiveCount": 5})), "no dead-letter queue"),
        ("takes from all", _drop("aws_sqs_queue_redrive_allow_policy", '["lambda"]'), "takes from others"),
        ("kept short", _set("aws_sqs_queue", 'dead["ecs"]', message_retention_seconds=60), "no longer than"),
        ("no alarm", _drop("aws_cloudwatch_metric_alarm", '["dead-letters-ecs"]'), "no alarm watches"),
    ],
    check_keeping.no_secret_is_in_the_state: [
        ("a value", lambda w: w.resources.append(Resource("added", "aws_secretsmanager_secret_version", {})), "puts a value"),
        ("a password", _set("aws_db_instance", '["state"]', password="x"), "is Terraform's"),
    ],
    check_running.workers_start_at_none: [
        ("one at least", _set("aws_appautoscaling_target", "", min_capacity=1), "1 workers run"),
        ("nothing scales", _drop("aws_appautoscaling_target"), "nothing scales"),
        ("started at once", _set("aws_ecs_service", ".worker", desired_count=2), "before there is work"),
        ("no alarm", _set("aws_cloudwatch_metric_alarm", ".waiting", alarm_actions=[]), "nothing triggers"),
        ("all queues but one", _forget_queue(".quiet", "-ecs"), "every queue"),
        ("never down", _nested("aws_appautoscaling_policy", ["step_scaling_policy_configuration", 0, "step_adjustment", 0, "scaling_adjustment"], 1, "policy.in"), "not stopped"),
    ],
    check_running.the_edge_answers_users_only: [
        ("plain HTTP", lambda w: w.resources.append(copy.deepcopy(_first(w, "aws_lb_listener"))), "another listener"),
        ("forwards the rest", _nested("aws_lb_listener", ["default_action", 0, "type"], "forward"), "no rule names"),
        ("tasks' API", _set("aws_lb_listener_rule", ".not_for_users", priority=99), "/v1/task/token goes to dispatcher"),
        ("queries", _drop("aws_lb_listener_rule", ".query"), "/v1/query goes to dispatcher"),
        ("no firewall in front", _drop("aws_wafv2_web_acl_association"), "not in front"),
        ("no firewall", _drop("aws_wafv2_web_acl"), "no firewall"),
        ("only counts", _waf("no-token", lambda rule: rule["action"][0].update(block=[])), "without a token"),
        ("any word", _waf("no-token", _token_expression("^Bearer .*$")), "the firewall takes `Bearer x`"),
        ("no limit", _waf("rate-by-address", lambda rule: rule["action"][0].update(block=[])), "as often"),
        ("samples", _waf("common", lambda rule: rule["visibility_config"][0].update(sampled_requests_enabled=True)), "samples"),
        ("a log of tokens", _set("aws_wafv2_web_acl_logging_configuration", "", redacted_fields=[]), "log keeps tokens"),
        ("smuggling", _set("aws_lb", "", drop_invalid_header_fields=False), "invalid header"),
    ],
    check_running.names_are_a_list: [
        ("a name too many", lambda w: _first(w, "aws_route53_resolver_firewall_domain_list", ".allowed").values["domains"].append("*.attacker.example."), "*.attacker.example. may be asked"),
        ("everything", _nested("aws_route53_resolver_firewall_domain_list", ["domains"], ["example.com."], ".everything"), "not everything else"),
        ("the wrong order", _set("aws_route53_resolver_firewall_rule", ".everything_else", priority=1), "allow the list, then block"),
        ("alerts only", _set("aws_route53_resolver_firewall_rule", ".everything_else", action="ALERT"), "allow the list, then block"),
        ("of no VPC", _drop("aws_route53_resolver_firewall_rule_group_association"), "of no VPC"),
        ("fails open", _set("aws_route53_resolver_firewall_config", "", firewall_fail_open="ENABLED"), "every name is answered"),
    ],
}

# What is asserted of production alone is broken in production alone.
IN_PROD = {
    check_keeping.what_must_not_be_lost_is_protected: [
        ("a database", _set("aws_db_instance", '["state"]', deletion_protection=False), "can be deleted"),
        ("no snapshot", _set("aws_db_instance", '["state"]', skip_final_snapshot=True), "leaves no snapshot"),
        ("no standby", _set("aws_db_instance", '["hot"]', multi_az=False), "no standby"),
        ("a week of backups", _set("aws_db_instance", '["hot"]', backup_retention_period=7), "backups of 7 days"),
        ("the load balancer", _set("aws_lb", "", enable_deletion_protection=False), "load balancer can be deleted"),
        ("the bucket", _set("aws_s3_bucket", ".data", force_destroy=True), "is deleted with what it holds"),
        ("a key", _set("aws_kms_key", '["data"]', deletion_window_in_days=7), "gone after 7 days"),
    ],
}
