output "target_group_arns" {
  description = "Target groups by service, once the listener forwards to them."
  value = {
    dispatcher = aws_lb_listener_rule.users.action[0].target_group_arn
    query      = aws_lb_listener_rule.query.action[0].target_group_arn
  }
}

output "load_balancer" {
  description = "`name` for metrics, `dns_name` for a record kept elsewhere, `targets` for metrics."
  value = {
    metric   = aws_lb.this.arn_suffix
    dns_name = aws_lb.this.dns_name
    targets  = { for key, group in aws_lb_target_group.this : key => group.arn_suffix }
  }
}
