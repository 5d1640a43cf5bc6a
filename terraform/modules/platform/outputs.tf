# What the configuration of services, launchers and people needs.

output "address" {
  description = "Where users go."
  value       = "https://${var.domain.name}/"
}

output "load_balancer" {
  description = "The name to point the public name at, when its DNS is kept elsewhere."
  value       = module.edge.load_balancer.dns_name
}

output "nat_addresses" {
  description = "The addresses that egress comes from: what partners allow-list."
  value       = module.network.nat_addresses
}

output "data_bucket" {
  description = "The bucket of blobs and data."
  value       = module.storage.data_bucket
}

output "databases" {
  description = "By name: address, port, database and the secret with the master password."
  value       = module.data.databases
}

output "secrets" {
  description = "Where an operator puts what each service is given at launch."
  value       = module.secrets.arns
}

output "queues" {
  description = "Wake-up queues by runtime, and their dead-letter queues."
  value       = { wakeups = module.queue.wakeups, dead = module.queue.dead }
}

output "signing_key_arn" {
  description = "The key that certifies the dispatcher's hourly signing key."
  value       = module.keys.signing_arn
}

output "session_role_arn" {
  description = "The dispatcher's `credentials.sts.role_arn`."
  value       = module.identity.session_role_arn
}

output "ecs_launcher" {
  description = "What the ECS launcher starts an untrusted attempt with."
  value = {
    cluster            = module.cluster.cluster.arn
    task_definition    = module.cluster.udf_family
    subnets            = module.network.subnet_ids.tasks
    security_groups    = [module.arrows.group_ids.udf]
    operator_prefix    = "${local.name}-operator-"
    operator_groups    = [module.arrows.group_ids.operator]
    operator_execution = module.identity.execution_role_arns.operator
  }
}

output "lambda_launcher" {
  description = "What the Lambda launcher makes a function with."
  value = {
    prefix          = "${local.name}-udf-"
    role            = module.identity.lambda_role_arn
    subnets         = module.network.subnet_ids.tasks
    security_groups = [module.arrows.group_ids.udf]
  }
}

output "configuration" {
  description = "What each service is told, without secrets."
  value       = module.cluster.configuration
}

output "alarm_topic" {
  description = "Where alarms go."
  value       = module.alarms.topic_arn
}
