output "arns" {
  description = "ARNs of the keys by purpose: data, database, queue, secrets, logs."
  value       = { for purpose, key in aws_kms_key.this : purpose => key.arn }
}

output "signing_arn" {
  description = "The key that certifies the dispatcher's signing key."
  value       = aws_kms_key.signing.arn
}
