# Policies of buckets, keys, endpoints and secrets name roles; names by rule keep them from waiting for each other.

locals {
  role_arn = { for role in ["dispatcher", "worker", "query", "egress", "session", "lambda-udf"] : role => "arn:${var.partition}:iam::${var.account_id}:role/${var.name}-${role}" }

  execution_arn = { for task in local.tasks : task => "arn:${var.partition}:iam::${var.account_id}:role/${var.name}-${task}-execution" }

  # What runs in ECS: four services, and what the worker's launcher starts.
  tasks = ["dispatcher", "query", "worker", "egress", "udf", "operator"]

  ecs     = "arn:${var.partition}:ecs:${var.region}:${var.account_id}"
  cluster = "${local.ecs}:cluster/${var.name}"
}
