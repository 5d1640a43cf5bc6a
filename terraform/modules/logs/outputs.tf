output "groups" {
  description = "Log groups by what writes them: `arn` and `name`."
  value       = merge({ for key, group in aws_cloudwatch_log_group.this : key => { arn = group.arn, name = group.name } }, { waf = { arn = aws_cloudwatch_log_group.waf.arn, name = aws_cloudwatch_log_group.waf.name } })
}
