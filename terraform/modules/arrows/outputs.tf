output "group_ids" {
  description = "Security groups by what they are for."
  value       = { for key, group in aws_security_group.this : key => group.id }
}

output "ports" {
  description = "The ports that services listen on."
  value       = local.ports
}
