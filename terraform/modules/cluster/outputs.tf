output "cluster" {
  description = "The cluster: `arn` and `name`."
  value       = { arn = aws_ecs_cluster.this.arn, name = aws_ecs_cluster.this.name }
}

output "udf_family" {
  description = "The task definition that the launcher starts untrusted attempts from; null without an image."
  value       = one(aws_ecs_task_definition.udf[*].family)
}

output "worker_service" {
  description = "The service that autoscaling counts."
  value       = aws_ecs_service.worker.name
}

output "configuration" {
  description = "What each service is told, without secrets."
  value       = local.configuration
}
