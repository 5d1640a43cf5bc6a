output "service_role_arns" {
  description = "What running services may do, by service."
  value       = { for key, role in aws_iam_role.service : key => role.arn }
}

output "execution_role_arns" {
  description = "What ECS needs to start tasks, by task."
  value       = { for key, role in aws_iam_role.execution : key => role.arn }
}

output "session_role_arn" {
  description = "The role whose sessions attempts get."
  value       = aws_iam_role.session.arn
}

output "lambda_role_arn" {
  description = "The role of functions."
  value       = aws_iam_role.lambda_udf.arn
}
