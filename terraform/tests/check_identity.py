"""What roles may do, who may become them, and what tasks run with."""

import json

from iam import ALLOWED, request, verdict
from world import as_list, statements

# (role, Sid) → why its resource is `*`. Anything else with `*` is a finding.
ARGUED = {
    **{(f"{task}-execution", "LogInToTheRegistry"): "a login names no repository" for task in ("dispatcher", "query", "worker", "egress", "udf", "operator")},
    ("worker", "FindLeakedTasks"): "ListTasks names no task; the cluster is in the condition",
    ("worker", "RetireOperators"): "these actions name no resource in IAM, and start nothing",
    ("lambda-udf", "NetworkInterfaces"): "Lambda asks on every resource; the code inside is denied",
}


def no_wildcard_actions(world):
    """No role is allowed an action by pattern, and none has a policy attached that is not written here."""
    for role, found in world.role_policies():
        for statement in found:
            if statement["Effect"] == "Allow":
                yield from (f"{role} may {action}" for action in statement.get("Action", ["everything but some"]) if "*" in action or "NotAction" in statement)
                if "Action" not in statement:
                    yield f"{role} may everything but some, by NotAction"
    yield from (f"{r.address} attaches a policy from elsewhere" for r in world.of("aws_iam_role_policy_attachment", "aws_iam_policy_attachment"))
    yield from (f"{r.address} is an identity with lasting keys" for r in world.of("aws_iam_user", "aws_iam_access_key"))


def no_wildcard_resources(world):
    """`*` as a resource only where it is argued, and no statement of `ARGUED` is left that is not there."""
    seen = set()
    for role, found in world.role_policies():
        for statement in found:
            wide = "*" in statement.get("Resource", ["*"]) and statement["Effect"] == "Allow"
            if wide and (role, statement.get("Sid")) not in ARGUED:
                yield f"{role}: {statement.get('Sid')} is allowed on every resource"
            if wide:
                seen.add((role, statement.get("Sid")))
    yield from (f"the exception {exception} is no longer needed" for exception in sorted(set(ARGUED) - seen))


def roles_are_handed_over_to_tasks_only(world):
    """`iam:PassRole` is the worker's alone, for the roles that start tasks, to the service that starts them."""
    allowed = {f"{world.prefix}-{role}" for role in ("udf-execution", "operator-execution", "lambda-udf")}
    for role, found in world.role_policies():
        for statement in found:
            if "iam:PassRole" not in statement.get("Action", []) or statement["Effect"] != "Allow":
                continue
            if role != "worker":
                yield f"{role} may hand over roles"
            yield from (f"{role} may hand over {arn}" for arn in statement["Resource"] if arn.split("role/")[-1] not in allowed)
            if "iam:PassedToService" not in statement.get("Condition", {}).get("StringEquals", {}):
                yield f"{role} may hand a role over to any service"


def who_may_become_a_role(world):
    """Services of AWS on behalf of this account, and the dispatcher for sessions. Nobody from elsewhere."""
    for role in world.of("aws_iam_role"):
        name = role.values["name"].removeprefix(f"{world.prefix}-")
        for statement in statements(role.values["assume_role_policy"]):
            principal = statement["Principal"]
            if principal == "*" or "*" in as_list(principal.get("AWS", [])):
                yield f"anybody may become {name}"
            elif "AWS" in principal:
                becoming = [arn.split("/")[-1] for arn in as_list(principal["AWS"])]
                if name != "session" or becoming != [f"{world.prefix}-dispatcher"]:
                    yield f"{becoming} may become {name}"
            elif "aws:SourceAccount" not in statement.get("Condition", {}).get("StringEquals", {}):
                yield f"a service may become {name} on behalf of another account"


def untrusted_tasks_have_nothing(world):
    """The task definition of untrusted code has no task role, no secret and no log driver; its execution role pulls
    one image; and the role that Lambda asks for is denied to the code inside."""
    task = world.one("aws_ecs_task_definition", family=f"{world.prefix}-udf")
    if task.get("task_role_arn"):
        yield f"untrusted tasks run as {task.values['task_role_arn']}"
    for container in json.loads(task.values["container_definitions"]):
        if container.get("secrets"):
            yield "untrusted tasks are given secrets"
    policies = dict(world.role_policies())
    actions = {action for s in policies["udf-execution"] for action in s["Action"]}
    extra = actions - {"ecr:GetAuthorizationToken", "ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"}
    if extra:
        yield f"the execution role of untrusted tasks may {sorted(extra)}"
    own = "arn:aws:iam::123456789012:role/x"
    inside = request(own, lambda__SourceFunctionArn="arn:aws:lambda:eu-west-1:123456789012:function:x")
    for action in ("ec2:CreateNetworkInterface", "s3:GetObject", "sts:GetCallerIdentity"):
        if verdict(policies["lambda-udf"], action=action, resource="*", context=inside) != "denied":
            yield f"code inside a function may {action}"
    other = {action for s in policies["lambda-udf"] if s["Effect"] == "Allow" for action in s["Action"] if not action.startswith("ec2:")}
    if other:
        yield f"Lambda's role may {sorted(other)}"


def containers_are_hardened(world):
    """Read-only root, no capabilities, an ordinary user, no privileges, an image by digest, and no shell."""
    for task in world.of("aws_ecs_task_definition"):
        for container in json.loads(task.values["container_definitions"]):
            name = f"{task.values['family']}/{container['name']}"
            if not container.get("readonlyRootFilesystem"):
                yield f"{name} may write to its root"
            if container.get("privileged"):
                yield f"{name} is privileged"
            if container.get("linuxParameters", {}).get("capabilities", {}).get("drop") != ["ALL"]:
                yield f"{name} keeps capabilities of the kernel"
            if container.get("linuxParameters", {}).get("capabilities", {}).get("add"):
                yield f"{name} is given capabilities of the kernel"
            if container.get("user", "0").split(":")[0] in ("0", "root", ""):
                yield f"{name} runs as root"
            if "@sha256:" not in container["image"]:
                yield f"{name} runs an image by a tag that can be moved"
            yield from (f"{name} has {v['name']} in clear" for v in container.get("environment", []) if v["name"].startswith("TRACE_SECRET"))
        if task.values["network_mode"] != "awsvpc":
            yield f"{task.values['family']} shares a network"
    yield from (f"{s.address} lets people in" for s in world.of("aws_ecs_service") if s.get("enable_execute_command"))


def services_may_what_they_do(world):
    """Each service may what it does, and not what another does."""
    account = "123456789012"
    bucket = f"arn:aws:s3:::{world.prefix}-{account}-data"
    region = "eu-west-1"
    queue = f"arn:aws:sqs:{region}:{account}:{world.prefix}-wakeups-ecs"
    session = f"arn:aws:iam::{account}:role/{world.prefix}-session"
    signing = next(k.values["arn"] for k in world.of("aws_kms_key") if k.address.endswith("signing"))
    sign = {"kms__SigningAlgorithm": "ECDSA_SHA_256"}
    cases = [
        ("dispatcher", "s3:PutObject", f"{bucket}/blobs/o1/x", {}, True),
        ("dispatcher", "s3:PutObject", f"{bucket}/data/o1/x", {}, False),
        ("dispatcher", "s3:ListBucket", bucket, {"s3__prefix": "data/o1/r1/"}, True),
        ("dispatcher", "s3:ListBucket", bucket, {}, False),
        ("dispatcher", "sts:AssumeRole", session, {}, True),
        ("dispatcher", "sqs:SendMessage", queue, {}, True),
        ("dispatcher", "sqs:ReceiveMessage", queue, {}, False),
        ("dispatcher", "kms:Sign", signing, sign, True),
        ("dispatcher", "kms:Sign", signing, {"kms__SigningAlgorithm": "ECDSA_SHA_512"}, False),
        ("dispatcher", "ecs:RunTask", "*", {}, False),
        ("query", "s3:GetObject", f"{bucket}/data/o1/x", {}, True),
        ("query", "s3:GetObject", f"{bucket}/blobs/o1/x", {}, False),
        ("query", "s3:PutObject", f"{bucket}/data/o1/x", {}, False),
        ("query", "s3:ListBucket", bucket, {"s3__prefix": "data/"}, False),
        ("query", "kms:Sign", signing, sign, False),
        ("worker", "sqs:ReceiveMessage", queue, {}, True),
        ("worker", "s3:GetObject", f"{bucket}/data/o1/x", {}, False),
        ("worker", "sts:AssumeRole", session, {}, False),
        ("worker", "kms:Sign", signing, sign, False),
        ("worker", "ecs:RunTask", f"arn:aws:ecs:{region}:{account}:task-definition/{world.prefix}-udf:3", {"ecs__cluster": f"arn:aws:ecs:{region}:{account}:cluster/{world.prefix}"}, True),
        ("worker", "ecs:RunTask", f"arn:aws:ecs:{region}:{account}:task-definition/{world.prefix}-udf:3", {"ecs__cluster": f"arn:aws:ecs:{region}:{account}:cluster/else"}, False),
        ("worker", "ecs:RunTask", f"arn:aws:ecs:{region}:{account}:task-definition/{world.prefix}-dispatcher:3", {"ecs__cluster": f"arn:aws:ecs:{region}:{account}:cluster/{world.prefix}"}, False),
        ("worker", "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{region}:{account}:secret:/{world.environment}/main/x", {}, False),
        ("egress", "s3:GetObject", f"{bucket}/data/o1/x", {}, False),
        ("session", "s3:PutObject", f"{bucket}/data/o1/x", {}, True),
        ("session", "s3:DeleteObject", f"{bucket}/data/o1/x", {}, False),
        ("session", "s3:GetObject", f"{bucket}/blobs/o1/x", {}, False),
        ("operator-execution", "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{region}:{account}:secret:/{world.environment}/main/x-a", {}, True),
        ("operator-execution", "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{region}:{account}:secret:/{world.environment}/platform/dispatcher-a", {}, False),
        ("operator-execution", "secretsmanager:GetSecretValue", f"arn:aws:secretsmanager:{region}:{account}:secret:/other/main/x-a", {}, False),
    ]
    policies = dict(world.role_policies())
    for role, action, resource, more, may in cases:
        context = request(f"arn:aws:iam::{account}:role/{world.prefix}-{role}", **more)
        found = verdict(policies.get(role, []), action=action, resource=resource, context=context) == ALLOWED
        if found != may:
            yield f"{role} {'may' if found else 'may not'} {action} on {resource}"


CHECKS = [
    no_wildcard_actions,
    no_wildcard_resources,
    roles_are_handed_over_to_tasks_only,
    who_may_become_a_role,
    untrusted_tasks_have_nothing,
    containers_are_hardened,
    services_may_what_they_do,
]
