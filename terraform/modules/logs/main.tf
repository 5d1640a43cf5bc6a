locals {
  # Days, or the audit's retention for what answers "who did what": a year at least, however short the rest.
  groups = {
    dispatcher = var.days
    query      = var.days
    worker     = var.days
    egress     = var.audit_days
    operator   = var.days
    flow       = var.audit_days
    dns        = var.audit_days
    audit      = var.audit_days
  }
}

resource "aws_cloudwatch_log_group" "this" {
  for_each = local.groups

  #checkov:skip=CKV_AWS_338:service logs repeat what the audit log has; those that are evidence are kept for a year
  name              = "/trace/${var.environment}/${each.key}"
  retention_in_days = each.value
  kms_key_id        = var.key_arn
}

# WAF asks for this prefix.
resource "aws_cloudwatch_log_group" "waf" {
  #checkov:skip=CKV_AWS_338:a variable of at least 365 days
  name              = "aws-waf-logs-${var.name}"
  retention_in_days = var.audit_days
  kms_key_id        = var.key_arn
}
