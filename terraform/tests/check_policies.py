"""Policies of buckets and endpoints, judged by asking them: who, what, from where."""

from iam import ALLOWED, DENIED, request, verdict
from world import statements

ACCOUNT, STRANGER = "123456789012", "999999999999"
EXCEPTIONS = {
    # (endpoint, Sid) → why a condition is missing from it.
    ("s3", "ImageLayersOfEcr"): "ECR signs layers' addresses itself, in a bucket of its own; reading only",
    **{
        (service, "OurPrincipalsWithoutResource"): "the calls name no resource whose account could be compared"
        for service in ("sts", "ecs", "ecr.api", "ecr.dkr")
    },
}


def buckets_refuse_plain_http(world):
    """Every bucket has a policy, and it denies everything to everybody without TLS. So do queues and topics."""
    policies = {p.values["bucket"]: statements(p.values["policy"]) for p in world.of("aws_s3_bucket_policy")}
    for bucket in world.of("aws_s3_bucket"):
        name = bucket.values["bucket"]
        if not _denied_without_tls(policies.get(name, []), "s3:GetObject", f"arn:aws:s3:::{name}/data/x"):
            yield f"objects of {name} can be read without TLS"
        if not _denied_without_tls(policies.get(name, []), "s3:ListBucket", f"arn:aws:s3:::{name}"):
            yield f"{name} can be listed without TLS"
    queues = {p.values["queue_url"]: statements(p.values["policy"]) for p in world.of("aws_sqs_queue_policy")}
    for queue in world.of("aws_sqs_queue"):
        if not _denied_without_tls(queues.get(queue.values["id"], []), "sqs:SendMessage", queue.values["arn"]):
            yield f"{queue.values['name']} takes messages without TLS"
    topics = {p.values["arn"]: statements(p.values["policy"]) for p in world.of("aws_sns_topic_policy")}
    for topic in world.of("aws_sns_topic"):
        if not _denied_without_tls(topics.get(topic.values["arn"], []), "sns:Publish", topic.values["arn"]):
            yield f"{topic.values['name']} takes messages without TLS"


def _denied_without_tls(found, action, resource):
    context = request(f"arn:aws:iam::{ACCOUNT}:root", aws__SecureTransport="false")
    return verdict(found, action=action, resource=resource, context=context) == DENIED


def the_data_bucket_bounds_its_users(world):
    """The bucket's policy denies, whatever roles allow: other accounts, addresses outside of the VPC, prefixes and
    actions that a role has no business with, other keys. And it denies nothing that they need."""
    bucket = next(b for b in world.of("aws_s3_bucket") if b.values["bucket"].endswith("-data"))
    arn = f"arn:aws:s3:::{bucket.values['bucket']}"
    found = next((statements(p.values["policy"]) for p in world.of("aws_s3_bucket_policy") if p.values["bucket"] == bucket.values["bucket"]), [])
    inside = next(e.values["id"] for e in world.of("aws_vpc_endpoint") if e.address.endswith("s3_tasks"))
    key = next(k.values["arn"] for k in world.of("aws_kms_key") if k.address.endswith('["data"]'))
    role = lambda name, account=ACCOUNT: f"arn:aws:iam::{account}:role/{world.prefix}-{name}"
    cases = [
        # who, action, resource, more, denied
        ("session", "s3:PutObject", f"{arn}/data/o1/r1/t1/a1/out/x", {}, False),
        ("session", "s3:GetObject", f"{arn}/data/o1/r1/t1/a1/out/x", {}, False),
        ("session", "s3:ListBucket", arn, {"s3__prefix": "data/o1/r1/t1/a1/out/"}, False),
        ("session", "s3:ListBucket", arn, {"s3__prefix": ""}, True),
        ("session", "s3:ListBucket", arn, {}, True),
        ("session", "s3:GetObject", f"{arn}/blobs/o1/x", {}, True),
        ("session", "s3:GetObject", f"{arn}/database/x", {}, True),
        ("session", "s3:DeleteObject", f"{arn}/data/o1/x", {}, True),
        ("session", "s3:PutBucketPolicy", arn, {}, True),
        ("session", "s3:GetObject", f"{arn}/data/o1/x", {"aws__SourceVpce": "vpce-elsewhere"}, True),
        ("session", "s3:GetObject", f"{arn}/data/o1/x", {"s3__TlsVersion": "1.1"}, True),
        ("query", "s3:GetObject", f"{arn}/data/o1/x", {}, False),
        ("query", "s3:PutObject", f"{arn}/data/o1/x", {}, True),
        ("query", "s3:GetObject", f"{arn}/blobs/o1/x", {}, True),
        ("dispatcher", "s3:PutObject", f"{arn}/blobs/o1/x", {}, False),
        ("dispatcher", "s3:ListBucket", arn, {"s3__prefix": "data/o1/"}, False),
        ("dispatcher", "s3:PutObject", f"{arn}/elsewhere/x", {}, True),
        ("dispatcher", "s3:PutObject", f"{arn}/blobs/o1/x", {"s3__x-amz-server-side-encryption-aws-kms-key-id": f"arn:aws:kms:eu-west-1:{STRANGER}:key/x"}, True),
        ("dispatcher", "s3:PutObject", f"{arn}/blobs/o1/x", {"s3__x-amz-server-side-encryption-aws-kms-key-id": key, "s3__x-amz-server-side-encryption": "aws:kms"}, False),
        ("dispatcher", "s3:PutObject", f"{arn}/blobs/o1/x", {"s3__x-amz-server-side-encryption": "AES256"}, True),
    ]
    for who, action, resource, more, denied in cases:
        context = request(role(who), **({"aws__SourceVpce": inside} | more))
        if (verdict(found, action=action, resource=resource, context=context) == DENIED) != denied:
            yield f"the bucket's policy {'lets' if denied else 'keeps'} {who} {'' if denied else 'from '}{action} on {resource} {more or ''}"
    context = request(role("session", STRANGER), aws__SourceVpce=inside)
    if verdict(found, action="s3:GetObject", resource=f"{arn}/data/o1/x", context=context) != DENIED:
        yield "the bucket's policy lets another account in"


def endpoints_let_out_nothing(world):
    """Every statement of every endpoint names our account as the asker's and as the resource's, or is argued. And by
    asking: keys of a stranger open nothing, and nobody's bucket but ours can be reached."""
    argued = set()
    for endpoint in world.of("aws_vpc_endpoint"):
        service = endpoint.values["service_name"].split(".", 3)[3]
        if service == "cognito-idp":
            continue  # The issuer's public keys: it takes no policy that is of use, as asking for keys is anonymous.
        found = statements(endpoint.values["policy"])
        for statement in found:
            if statement["Effect"] != "Allow":
                continue
            equals = statement.get("Condition", {}).get("StringEquals", {})
            missing = [key for key in ("aws:PrincipalAccount", "aws:ResourceAccount") if equals.get(key) != ACCOUNT]
            reason = (service, statement.get("Sid"))
            if missing and reason not in EXCEPTIONS:
                yield f"the endpoint of {service}: {statement.get('Sid')} does not ask for {', '.join(missing)}"
            elif "aws:PrincipalAccount" in missing and reason != ("s3", "ImageLayersOfEcr"):
                yield f"the endpoint of {service}: {statement.get('Sid')} lets strangers ask"
            argued |= {reason} if missing else set()
            wide = [action for action in statement.get("Action", ["*"]) if "*" in action]
            if wide:
                yield f"the endpoint of {service} lets {wide} through"
    yield from (f"the exception {exception} is no longer needed" for exception in sorted(set(EXCEPTIONS) - argued))
    yield from _asking_s3(world)


def _asking_s3(world):
    ours = f"arn:aws:s3:::{world.prefix}-{ACCOUNT}-data"
    theirs = "arn:aws:s3:::attackers-bucket"
    layers = "arn:aws:s3:::prod-eu-west-1-starport-layer-bucket/x"
    session, stranger = f"arn:aws:iam::{ACCOUNT}:role/{world.prefix}-session", f"arn:aws:iam::{STRANGER}:role/x"
    for endpoint in world.of("aws_vpc_endpoint"):
        if not endpoint.values["service_name"].endswith(".s3"):
            continue
        found = statements(endpoint.values["policy"])
        cases = [
            (session, "s3:PutObject", f"{ours}/data/o1/x", ACCOUNT, True),
            (session, "s3:PutObject", f"{theirs}/x", STRANGER, False),
            (stranger, "s3:PutObject", f"{theirs}/x", STRANGER, False),
            (stranger, "s3:PutObject", f"{ours}/data/o1/x", ACCOUNT, False),
            (stranger, "s3:GetObject", layers, STRANGER, True),
            (stranger, "s3:PutObject", layers, STRANGER, False),
        ]
        if endpoint.address.endswith("s3_tasks"):
            cases += [
                (f"arn:aws:iam::{ACCOUNT}:role/{world.prefix}-query", "s3:GetObject", f"{ours}/data/o1/x", ACCOUNT, False),
                (session, "s3:GetObject", f"{ours}/blobs/o1/x", ACCOUNT, False),
                (f"arn:aws:iam::{ACCOUNT}:role/{world.prefix}-dispatcher", "s3:GetObject", f"{ours}/blobs/o1/x", ACCOUNT, True),
            ]
        for who, action, resource, owner, may in cases:
            context = request(who, aws__ResourceAccount=owner)
            if (verdict(found, action=action, resource=resource, context=context) == ALLOWED) != may:
                yield f"{endpoint.address.split('.')[-1]} {'keeps' if may else 'lets'} {who.split(':')[4]} {action} {resource}"


CHECKS = [buckets_refuse_plain_http, the_data_bucket_bounds_its_users, endpoints_let_out_nothing]
