"""What is kept: encrypted, private, protected, for long enough, and set aside when it can't be worked on."""

import json

EVIDENCE = ("flow", "dns", "audit", "egress")


def everything_is_encrypted(world):
    """At rest with keys of ours; between services and databases by TLS."""
    for kind, name, key in (
        ("aws_sqs_queue", "name", "kms_master_key_id"),
        ("aws_cloudwatch_log_group", "name", "kms_key_id"),
        ("aws_secretsmanager_secret", "name", "kms_key_id"),
        ("aws_sns_topic", "name", "kms_master_key_id"),
        ("aws_db_instance", "identifier", "kms_key_id"),
        ("aws_db_instance", "identifier", "master_user_secret_kms_key_id"),
    ):
        yield from (f"{kind} {r.values[name]} has no {key}" for r in world.of(kind) if not r.get(key))
    # moto forgets that insights are on, so that the applied state shows them off; on AWS the key is asked for.
    yield from (f"insights of {d.values['identifier']} have no key of ours" for d in world.of("aws_db_instance") if d.get("performance_insights_enabled") and not d.get("performance_insights_kms_key_id"))
    yield from (f"{d.values['identifier']} is not encrypted" for d in world.of("aws_db_instance") if not d.get("storage_encrypted"))
    encrypted = {}
    for setting in world.of("aws_s3_bucket_server_side_encryption_configuration"):
        rule = setting.values["rule"][0]["apply_server_side_encryption_by_default"][0]
        encrypted[setting.values["bucket"]] = (rule["sse_algorithm"], rule.get("kms_master_key_id"))
    for bucket in world.of("aws_s3_bucket"):
        name = bucket.values["bucket"]
        algorithm, key = encrypted.get(name, (None, None))
        # Load balancers refuse a bucket for their logs that asks for KMS.
        if algorithm != "aws:kms" and not (name.endswith("-logs") and algorithm == "AES256"):
            yield f"bucket {name} is not encrypted with KMS"
        if algorithm == "aws:kms" and not key:
            yield f"bucket {name} is encrypted with a key of AWS's"
    for cluster in world.of("aws_ecs_cluster"):
        storage = (cluster.values.get("configuration") or [{}])[0].get("managed_storage_configuration") or [{}]
        if not storage[0].get("fargate_ephemeral_storage_kms_key_id"):
            yield "tasks' ephemeral storage is not encrypted with a key of ours"
    for group in world.of("aws_db_parameter_group"):
        set_ = {p["name"]: p["value"] for p in group.values["parameter"]}
        if set_.get("rds.force_ssl") != "1":
            yield "databases take connections without TLS"
        if set_.get("ssl_min_protocol_version") not in ("TLSv1.2", "TLSv1.3"):
            yield "databases take old versions of TLS"
    for listener in world.of("aws_lb_listener"):
        if listener.values["protocol"] != "HTTPS" or not listener.get("ssl_policy", "").startswith("ELBSecurityPolicy-TLS13-1-2"):
            yield f"the load balancer listens at {listener.values['port']} without TLS 1.2 or later"
    for key in world.of("aws_kms_key"):
        if key.get("customer_master_key_spec", "SYMMETRIC_DEFAULT") == "SYMMETRIC_DEFAULT" and not key.get("enable_key_rotation"):
            yield f"{key.address} is not rotated"
    yield from _repositories(world)


def _repositories(world):
    for repository in world.of("aws_ecr_repository"):
        if repository.values["encryption_configuration"][0]["encryption_type"] != "KMS":
            yield f"images of {repository.values['name']} are not encrypted with KMS"
        if repository.values["image_tag_mutability"] != "IMMUTABLE":
            yield f"tags of {repository.values['name']} can be moved"


def nothing_is_public(world):
    """No bucket, database or snapshot for everybody."""
    blocks = {b.values["bucket"]: b.values for b in world.of("aws_s3_bucket_public_access_block")}
    for bucket in world.of("aws_s3_bucket"):
        block = blocks.get(bucket.values["bucket"], {})
        for name in ("block_public_acls", "block_public_policy", "ignore_public_acls", "restrict_public_buckets"):
            if not block.get(name):
                yield f"bucket {bucket.values['bucket']}: {name} is off"
    yield from (f"{d.values['identifier']} is public" for d in world.of("aws_db_instance") if d.get("publicly_accessible"))


def what_must_not_be_lost_is_protected(world):
    """Production and staging refuse to be deleted; production has standbys and a month of backups; every environment has
    backups, versions, and a way back."""
    protected = world.environment in ("prod", "staging")
    for database in world.of("aws_db_instance"):
        name = database.values["identifier"]
        if protected and not database.get("deletion_protection"):
            yield f"{name} can be deleted"
        if protected and database.get("skip_final_snapshot"):
            yield f"{name} leaves no snapshot"
        if world.environment == "prod" and not database.get("multi_az"):
            yield f"{name} has no standby"
        if database.get("backup_retention_period", 0) < (30 if world.environment == "prod" else 1):
            yield f"{name} has backups of {database.get('backup_retention_period')} days"
    for balancer in world.of("aws_lb"):
        if protected and not balancer.get("enable_deletion_protection"):
            yield "the load balancer can be deleted"
    for bucket in world.of("aws_s3_bucket"):
        if protected and bucket.get("force_destroy"):
            yield f"{bucket.values['bucket']} is deleted with what it holds"
    versions = {v.values["bucket"]: v.values["versioning_configuration"][0]["status"] for v in world.of("aws_s3_bucket_versioning")}
    for bucket in world.of("aws_s3_bucket"):
        if not bucket.values["bucket"].endswith("-logs") and versions.get(bucket.values["bucket"]) != "Enabled":
            yield f"{bucket.values['bucket']} keeps no versions"
    if len(world.of("aws_db_instance")) not in (0, 2):
        yield "there are not two databases"
    if protected:
        yield from (f"{k.address} is gone after {k.get('deletion_window_in_days')} days" for k in world.of("aws_kms_key") if k.get("deletion_window_in_days", 0) < 30)


def evidence_is_kept_for_a_year(world):
    """Every log group has an end, and what answers "who did what" has none before a year."""
    for group in world.of("aws_cloudwatch_log_group"):
        name, days = group.values["name"], group.get("retention_in_days", 0)
        if not days:
            yield f"{name} is kept for ever"
        evidence = name.split("/")[-1] in EVIDENCE or name.startswith("aws-waf-logs")
        if evidence and days < 365:
            yield f"{name} is kept for {days} days"
    flow = world.of("aws_flow_log")
    if world.of("aws_vpc") and not any(f.get("traffic_type") == "ALL" and f.get("log_destination") for f in flow):
        yield "nobody writes down who spoke to whom"
    if world.of("aws_vpc") and not world.of("aws_route53_resolver_query_log_config_association"):
        yield "nobody writes down which names were asked for"


def dead_letters_are_wired(world):
    """Every wake-up queue sets aside what fails again and again, in a queue that takes from it alone, keeps it for longer,
    and has an alarm."""
    queues = {q.values["arn"]: q.values for q in world.of("aws_sqs_queue")}
    allowed = {p.values["queue_url"]: json.loads(p.values["redrive_allow_policy"]) for p in world.of("aws_sqs_queue_redrive_allow_policy")}
    watched = {a.values["dimensions"].get("QueueName") for a in world.of("aws_cloudwatch_metric_alarm") if a.get("dimensions") and a.get("alarm_actions")}
    wakeups = [q for q in queues.values() if "-wakeups-" in q["name"]]
    if world.of("aws_ecs_cluster") and not wakeups:
        yield "there is no wake-up queue"
    for queue in wakeups:
        redrive = json.loads(queue.get("redrive_policy") or "{}")
        dead = queues.get(redrive.get("deadLetterTargetArn"))
        if dead is None:
            yield f"{queue['name']} has no dead-letter queue"
            continue
        if not 1 <= int(redrive.get("maxReceiveCount", 0)) <= 100:
            yield f"{queue['name']} tries {redrive.get('maxReceiveCount')} times"
        if allowed.get(dead["id"], {}).get("sourceQueueArns") != [queue["arn"]]:
            yield f"{dead['name']} takes from others than {queue['name']}"
        if dead["message_retention_seconds"] <= queue["message_retention_seconds"]:
            yield f"{dead['name']} keeps messages no longer than {queue['name']}"
        if dead["name"] not in watched:
            yield f"no alarm watches {dead['name']}"


def no_secret_is_in_the_state(world):
    """Terraform makes places for secrets and never sees a value."""
    yield from (f"{v.address} puts a value into the state" for v in world.of("aws_secretsmanager_secret_version", "aws_ssm_parameter", "aws_iam_access_key"))
    for database in world.of("aws_db_instance"):
        if database.get("password") or not database.get("manage_master_user_password"):
            yield f"the password of {database.values['identifier']} is Terraform's"


CHECKS = [
    everything_is_encrypted,
    nothing_is_public,
    what_must_not_be_lost_is_protected,
    evidence_is_kept_for_a_year,
    dead_letters_are_wired,
    no_secret_is_in_the_state,
]
