output "arns" {
  description = "Secrets by service."
  value       = { for key, secret in aws_secretsmanager_secret.service : key => secret.arn }
}
