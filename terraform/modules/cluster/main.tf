# ECS on Fargate. There is no host to log in to and no instance metadata service (IMDSv2 or otherwise): a task's
# only source of credentials is its task role, and untrusted tasks have none.

resource "aws_ecs_cluster" "this" {
  #checkov:skip=CKV_AWS_223:there is nothing to log: services are started without `ecs exec`, and a test asserts it
  #checkov:skip=CKV_AWS_65:container insights is a setting, as it is billed by the metric; prod has it
  name = var.name

  setting {
    name  = "containerInsights"
    value = var.container_insights ? "enabled" : "disabled"
  }

  configuration {
    managed_storage_configuration {
      fargate_ephemeral_storage_kms_key_id = var.scratch_key_arn
    }

    # Nobody gets a shell in a task: services are started without `ecs exec`.
    execute_command_configuration {
      logging = "NONE"
    }
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = ["FARGATE", "FARGATE_SPOT"]

  default_capacity_provider_strategy {
    capacity_provider = "FARGATE"
    weight            = 1
  }
}

# `dispatcher.trace-dev.internal` and so on: addresses of the tasks that run, without a load balancer between.
resource "aws_service_discovery_private_dns_namespace" "this" {
  name        = var.namespace
  description = "Services of ${var.name}"
  vpc         = var.vpc_id
}

resource "aws_service_discovery_service" "this" {
  for_each = toset([for key in keys(local.services) : key if local.services[key].discovered])

  name = each.key

  dns_config {
    namespace_id   = aws_service_discovery_private_dns_namespace.this.id
    routing_policy = "MULTIVALUE"

    dns_records {
      type = "A"
      ttl  = 5
    }
  }
}

resource "aws_ecs_service" "this" {
  #checkov:skip=CKV_AWS_332:1.4.0 is the latest for Linux; written down, a newer one comes with a change that is tested
  for_each = local.fixed

  name             = each.key
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.service[each.key].arn
  desired_count    = each.value.count
  launch_type      = "FARGATE"
  platform_version = "1.4.0"

  enable_execute_command             = false
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = each.value.subnets
    security_groups  = [var.group_ids[each.key]]
    assign_public_ip = false
  }

  dynamic "service_registries" {
    for_each = each.value.discovered ? [1] : []

    content {
      registry_arn = aws_service_discovery_service.this[each.key].arn
    }
  }

  dynamic "load_balancer" {
    for_each = contains(keys(var.target_group_arns), each.key) ? [1] : []

    content {
      target_group_arn = var.target_group_arns[each.key]
      container_name   = each.key
      container_port   = each.value.users_port
    }
  }

  depends_on = [aws_ecs_cluster_capacity_providers.this]
}

# Its count is the autoscaling's: it starts at none.
resource "aws_ecs_service" "worker" {
  #checkov:skip=CKV_AWS_332:1.4.0 is the latest for Linux; written down, a newer one comes with a change that is tested
  name             = "worker"
  cluster          = aws_ecs_cluster.this.id
  task_definition  = aws_ecs_task_definition.service["worker"].arn
  desired_count    = 0
  launch_type      = "FARGATE"
  platform_version = "1.4.0"

  enable_execute_command             = false
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 200
  propagate_tags                     = "SERVICE"

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  network_configuration {
    subnets          = var.subnet_ids.services
    security_groups  = [var.group_ids.worker]
    assign_public_ip = false
  }

  depends_on = [aws_ecs_cluster_capacity_providers.this]

  lifecycle {
    ignore_changes = [desired_count]
  }
}
