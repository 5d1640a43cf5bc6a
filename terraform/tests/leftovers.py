"""Everything of the kinds that the modules make, as moto lists it: what is there before an apply and after a destroy."""

# (service, operation, what it answers with, what names one). Deleted keys and definitions wait for their end and are
# not counted: AWS keeps them, too.
LISTS = [
    ("ec2", "describe_vpcs", "Vpcs", "VpcId"),
    ("ec2", "describe_subnets", "Subnets", "SubnetId"),
    ("ec2", "describe_security_groups", "SecurityGroups", "GroupId"),
    ("ec2", "describe_security_group_rules", "SecurityGroupRules", "SecurityGroupRuleId"),
    ("ec2", "describe_route_tables", "RouteTables", "RouteTableId"),
    ("ec2", "describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    ("ec2", "describe_addresses", "Addresses", "AllocationId"),
    ("ec2", "describe_flow_logs", "FlowLogs", "FlowLogId"),
    ("rds", "describe_db_instances", "DBInstances", "DBInstanceIdentifier"),
    ("rds", "describe_db_subnet_groups", "DBSubnetGroups", "DBSubnetGroupName"),
    ("rds", "describe_db_snapshots", "DBSnapshots", "DBSnapshotIdentifier"),
    ("s3", "list_buckets", "Buckets", "Name"),
    ("sqs", "list_queues", "QueueUrls", None),
    ("sns", "list_topics", "Topics", "TopicArn"),
    ("iam", "list_roles", "Roles", "RoleName"),
    ("kms", "list_aliases", "Aliases", "AliasName"),
    ("secretsmanager", "list_secrets", "SecretList", "Name"),
    ("logs", "describe_log_groups", "logGroups", "logGroupName"),
    ("logs", "describe_metric_filters", "metricFilters", "filterName"),
    ("cloudwatch", "describe_alarms", "MetricAlarms", "AlarmName"),
    ("elbv2", "describe_load_balancers", "LoadBalancers", "LoadBalancerName"),
    ("elbv2", "describe_target_groups", "TargetGroups", "TargetGroupName"),
    ("efs", "describe_file_systems", "FileSystems", "FileSystemId"),
    ("efs", "describe_access_points", "AccessPoints", "AccessPointId"),
    ("servicediscovery", "list_namespaces", "Namespaces", "Id"),
    ("servicediscovery", "list_services", "Services", "Id"),
    ("route53", "list_hosted_zones", "HostedZones", "Id"),
    ("route53resolver", "list_resolver_query_log_configs", "ResolverQueryLogConfigs", "Id"),
    ("ecr", "describe_repositories", "repositories", "repositoryName"),
]


def held(live):
    """(kind, name) of everything that moto holds."""
    found = set()
    for service, operation, key, name in LISTS:
        client = live.client(service)
        if client.can_paginate(operation):
            pages = client.get_paginator(operation).paginate()
        else:
            pages = [getattr(client, operation)()]
        for item in (item for page in pages for item in page.get(key, [])):
            found.add((f"{service} {key}", item[name] if name else item))
    return found | set(_in_their_own_way(live))


def _in_their_own_way(live):
    ec2, ecs, kms = live.client("ec2"), live.client("ecs"), live.client("kms")
    for endpoint in ec2.describe_vpc_endpoints()["VpcEndpoints"]:
        if endpoint["State"].lower() != "deleted":
            yield "ec2 VpcEndpoints", endpoint["VpcEndpointId"]
    for gateway in ec2.describe_nat_gateways()["NatGateways"]:
        if gateway["State"] != "deleted":
            yield "ec2 NatGateways", gateway["NatGatewayId"]
    for key in kms.list_keys()["Keys"]:
        described = kms.describe_key(KeyId=key["KeyId"])["KeyMetadata"]
        if described["KeyState"] != "PendingDeletion" and described["KeyManager"] == "CUSTOMER":
            yield "kms Keys", key["KeyId"]
    for arn in ecs.list_clusters()["clusterArns"]:
        if ecs.describe_clusters(clusters=[arn])["clusters"][0]["status"] != "INACTIVE":
            yield "ecs clusters", arn
    yield from (("ecs taskDefinitions", arn) for arn in ecs.list_task_definitions(status="ACTIVE")["taskDefinitionArns"])
    for group in live.client("rds").describe_db_parameter_groups()["DBParameterGroups"]:
        yield "rds DBParameterGroups", group["DBParameterGroupName"]
    for acl in live.client("wafv2").list_web_acls(Scope="REGIONAL")["WebACLs"]:
        yield "wafv2 WebACLs", acl["Name"]
    for target in live.client("application-autoscaling").describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]:
        yield "application-autoscaling ScalableTargets", target["ResourceId"]
    for budget in live.client("budgets").describe_budgets(AccountId="123456789012").get("Budgets", []):
        yield "budgets Budgets", budget["BudgetName"]
