# The arrows of docs/architecture.md as data. A line here makes a rule on both ends; what has no line cannot speak.
# Nothing has an arrow into `udf`: a task is never connected to. `terraform/tests/arrows.py` holds the same table,
# written independently, against what was applied.

locals {
  ports = {
    dispatcher_users   = 7000
    dispatcher_tasks   = 7001
    dispatcher_workers = 7002
    query_users        = 7010
    query_tasks        = 7011
    egress_tasks       = 7030
    https              = 443
    postgres           = 5432
    nfs                = 2049
  }

  groups = {
    edge           = "the public load balancer"
    dispatcher     = "the dispatcher"
    query          = "the query service"
    worker         = "worker wrappers"
    egress         = "the egress gateway"
    udf            = "untrusted code, in ECS and Lambda"
    operator       = "trusted operators"
    state_database = "the state database"
    hot_database   = "the hot data database"
    key_folder     = "the file system of signing keys"
    endpoints      = "interface endpoints for services"
    images         = "interface endpoints of the registry, through which tasks pull their image"
  }

  arrows = [
    # Users, by way of the load balancer.
    { from = "edge", to = "dispatcher", port = "dispatcher_users", why = "users API" },
    { from = "edge", to = "query", port = "query_users", why = "users queries" },

    # Workers and planes speak to the dispatcher.
    { from = "worker", to = "dispatcher", port = "dispatcher_workers", why = "claim, heartbeat, complete" },
    { from = "worker", to = "dispatcher", port = "dispatcher_tasks", why = "credentials to upload outputs with" },
    { from = "query", to = "dispatcher", port = "dispatcher_workers", why = "liveness, manifests, audit" },
    { from = "query", to = "dispatcher", port = "dispatcher_users", why = "public keys of capabilities" },
    { from = "egress", to = "dispatcher", port = "dispatcher_workers", why = "liveness, audit" },
    { from = "egress", to = "dispatcher", port = "dispatcher_users", why = "public keys of capabilities" },

    # What untrusted code reaches. Its way to S3 is the gateway endpoint, below.
    { from = "udf", to = "dispatcher", port = "dispatcher_tasks", why = "task API" },
    { from = "udf", to = "query", port = "query_tasks", why = "queries" },
    { from = "udf", to = "egress", port = "egress_tasks", why = "declared egress" },
    { from = "udf", to = "images", port = "https", why = "Fargate pulls the runner image through the task interface" },

    # Trusted operators: the same, and secrets, which Fargate fetches through the task's interface.
    { from = "operator", to = "dispatcher", port = "dispatcher_tasks", why = "task API" },
    { from = "operator", to = "query", port = "query_tasks", why = "queries" },
    { from = "operator", to = "egress", port = "egress_tasks", why = "declared egress" },
    { from = "operator", to = "images", port = "https", why = "image" },
    { from = "operator", to = "endpoints", port = "https", why = "secrets at launch" },

    # Databases.
    { from = "dispatcher", to = "state_database", port = "postgres", why = "state" },
    { from = "dispatcher", to = "hot_database", port = "postgres", why = "the trusted sink of hot data" },
    { from = "query", to = "hot_database", port = "postgres", why = "reads of hot data" },

    # The keys that sign capabilities: the dispatchers share them.
    { from = "dispatcher", to = "key_folder", port = "nfs", why = "signing keys" },

    # AWS, by interface endpoint.
    { from = "dispatcher", to = "endpoints", port = "https", why = "AWS" },
    { from = "query", to = "endpoints", port = "https", why = "AWS" },
    { from = "worker", to = "endpoints", port = "https", why = "AWS" },
    { from = "egress", to = "endpoints", port = "https", why = "AWS" },
    { from = "dispatcher", to = "images", port = "https", why = "image" },
    { from = "query", to = "images", port = "https", why = "image" },
    { from = "worker", to = "images", port = "https", why = "image" },
    { from = "egress", to = "images", port = "https", why = "image" },
  ]

  rules = { for arrow in local.arrows : "${arrow.from}-${arrow.to}-${arrow.port}" => arrow }

  # S3 has no security group: its gateway endpoint is a route, and the group names the prefix list.
  to_s3 = toset(["dispatcher", "query", "worker", "egress", "udf", "operator"])
}

resource "aws_security_group" "this" {
  #checkov:skip=CKV2_AWS_5:attached in the modules cluster, data, edge and endpoints; `udf` and `operator` to tasks that launchers start
  for_each = local.groups

  name        = "${var.name}-${replace(each.key, "_", "-")}"
  description = "Trace: ${each.value}"
  vpc_id      = var.vpc_id

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_vpc_security_group_egress_rule" "arrow" {
  for_each = local.rules

  security_group_id            = aws_security_group.this[each.value.from].id
  referenced_security_group_id = aws_security_group.this[each.value.to].id
  ip_protocol                  = "tcp"
  from_port                    = local.ports[each.value.port]
  to_port                      = local.ports[each.value.port]
  description                  = "to ${each.value.to}: ${each.value.why}"
}

resource "aws_vpc_security_group_ingress_rule" "arrow" {
  for_each = local.rules

  security_group_id            = aws_security_group.this[each.value.to].id
  referenced_security_group_id = aws_security_group.this[each.value.from].id
  ip_protocol                  = "tcp"
  from_port                    = local.ports[each.value.port]
  to_port                      = local.ports[each.value.port]
  description                  = "from ${each.value.from}: ${each.value.why}"
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  for_each = local.to_s3

  security_group_id = aws_security_group.this[each.key].id
  prefix_list_id    = var.s3_prefix_list_id
  ip_protocol       = "tcp"
  from_port         = local.ports.https
  to_port           = local.ports.https
  description       = "to S3, by the gateway endpoint"
}

# The two that touch the internet.
resource "aws_vpc_security_group_ingress_rule" "internet_to_edge" {
  security_group_id = aws_security_group.this["edge"].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = local.ports.https
  to_port           = local.ports.https
  description       = "users, by TLS"
}

resource "aws_vpc_security_group_egress_rule" "egress_to_internet" {
  count = var.egress ? 1 : 0

  security_group_id = aws_security_group.this["egress"].id
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = local.ports.https
  to_port           = local.ports.https
  description       = "declared and allowed destinations, by TLS"
}
