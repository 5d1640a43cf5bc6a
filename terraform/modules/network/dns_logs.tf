# Every name that something in the VPC asked for, and whether the DNS firewall refused it.

resource "aws_route53_resolver_query_log_config" "this" {
  name            = var.name
  destination_arn = var.dns_log_group_arn
}

resource "aws_route53_resolver_query_log_config_association" "this" {
  resolver_query_log_config_id = aws_route53_resolver_query_log_config.this.id
  resource_id                  = aws_vpc.this.id
}
