"""What moto itself says, asked by boto3: that the state is no wishful thinking, and that AWS's own defaults (a new
security group lets everything out) are gone."""

import json

import boto3
from botocore.config import Config

from arrows import ARROWS, FROM_INTERNET, TO_INTERNET, TO_S3


class Live:
    """Clients of one moto server."""

    def __init__(self, address, environment):
        self.address, self.environment, self.prefix = address, environment, f"trace-{environment}"

    def client(self, service):
        return boto3.client(
            service, endpoint_url=self.address, region_name="eu-west-1", aws_access_key_id="testing",
            aws_secret_access_key="testing", config=Config(retries={"max_attempts": 2}),
        )  # fmt: skip


def rules(live):
    """The rules that moto holds are the arrows and nothing else: none that Terraform does not know of."""
    ec2 = live.client("ec2")
    groups = [g for page in ec2.get_paginator("describe_security_groups").paginate() for g in page["SecurityGroups"]]
    names = {g["GroupId"]: g["GroupName"].removeprefix(f"{live.prefix}-") for g in groups}
    ours = {g["GroupId"] for g in groups if g["GroupName"].startswith(f"{live.prefix}-")}
    found = set()
    for rule in (r for page in ec2.get_paginator("describe_security_group_rules").paginate() for r in page["SecurityGroupRules"]):
        if rule["GroupId"] not in ours:
            continue
        other = rule.get("ReferencedGroupInfo", {}).get("GroupId")
        there = names.get(other) if other else "s3" if rule.get("PrefixListId") else rule.get("CidrIpv4") or rule.get("CidrIpv6")
        found.add((names[rule["GroupId"]], "out" if rule["IsEgress"] else "in", there, rule["FromPort"], rule["ToPort"], rule["IpProtocol"]))
    wanted = {(here, "out", there, port, port, "tcp") for here, there, port in ARROWS}
    wanted |= {(there, "in", here, port, port, "tcp") for here, there, port in ARROWS}
    wanted |= {(here, "out", "s3", 443, 443, "tcp") for here in TO_S3}
    wanted |= {(here, "out", "0.0.0.0/0", port, port, "tcp") for here, port in TO_INTERNET}
    wanted |= {(here, "in", "0.0.0.0/0", port, port, "tcp") for here, port in FROM_INTERNET}
    yield from (f"moto has a rule that is no arrow: {rule}" for rule in sorted(found - wanted, key=str))
    yield from (f"moto lacks a rule: {rule}" for rule in sorted(wanted - found, key=str))


def routes(live):
    """Default routes are where the subnets' kind says."""
    ec2 = live.client("ec2")
    kinds = {s["SubnetId"]: {t["Key"]: t["Value"] for t in s.get("Tags", [])}.get("Kind") for s in ec2.describe_subnets()["Subnets"]}
    for table in ec2.describe_route_tables()["RouteTables"]:
        ways = [r.get("GatewayId") or r.get("NatGatewayId") or "?" for r in table["Routes"] if r.get("DestinationCidrBlock") == "0.0.0.0/0"]
        for association in table["Associations"]:
            kind = kinds.get(association.get("SubnetId"))
            if kind and bool(ways) != (kind in ("public", "egress")):
                yield f"subnets of {kind} have default routes to {ways}"


def kept(live):
    """Databases, buckets and queues are as private and encrypted as the state says."""
    for database in live.client("rds").describe_db_instances()["DBInstances"]:
        name = database["DBInstanceIdentifier"]
        if not database["StorageEncrypted"] or database["PubliclyAccessible"]:
            yield f"{name} is not encrypted, or public"
        if live.environment == "prod" and not database["DeletionProtection"]:
            yield f"{name} can be deleted"
    s3 = live.client("s3")
    for bucket in (b["Name"] for b in s3.list_buckets()["Buckets"]):
        if not all(s3.get_public_access_block(Bucket=bucket)["PublicAccessBlockConfiguration"].values()):
            yield f"{bucket} may be made public"
        if '"aws:SecureTransport": "false"' not in json.dumps(json.loads(s3.get_bucket_policy(Bucket=bucket)["Policy"])):
            yield f"{bucket} takes plain HTTP"
    sqs = live.client("sqs")
    for url in sqs.list_queues(QueueNamePrefix=f"{live.prefix}-wakeups").get("QueueUrls", []):
        attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
        if "RedrivePolicy" not in attributes or not attributes.get("KmsMasterKeyId"):
            yield f"{url} has no dead-letter queue or no key"


def tasks(live):
    """What ECS would start for untrusted code has no role."""
    ecs = live.client("ecs")
    definition = ecs.describe_task_definition(taskDefinition=f"{live.prefix}-udf")["taskDefinition"]
    if definition.get("taskRoleArn"):
        yield f"untrusted tasks run as {definition['taskRoleArn']}"
    services = ecs.describe_services(cluster=live.prefix, services=["dispatcher", "query", "worker", "egress"])["services"]
    running = {service["serviceName"]: service["desiredCount"] for service in services}
    if running.get("worker") != 0 or not all(running.get(name) for name in ("dispatcher", "query", "egress")):
        yield f"services are started so many times: {running}"


CHECKS = [rules, routes, kept, tasks]
