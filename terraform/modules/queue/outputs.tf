output "wakeups" {
  description = "Wake-up queues by runtime: `arn`, `url` and `name`."
  value       = { for runtime, queue in aws_sqs_queue.wakeups : runtime => { arn = queue.arn, url = queue.url, name = queue.name } }
}

output "dead" {
  description = "Their dead-letter queues."
  value       = { for runtime, queue in aws_sqs_queue.dead : runtime => { arn = queue.arn, url = queue.url, name = queue.name } }
}
