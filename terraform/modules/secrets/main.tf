# What a service is given at launch, one secret each. Terraform makes the place; an operator puts the value
# (docs/terraform.md), so that no value is in a plan, a state or a variable.

locals {
  services = {
    dispatcher = "database_url"
    query      = "identity"
    worker     = "identity"
    egress     = "identity"
  }
}

resource "aws_secretsmanager_secret" "service" {
  for_each = local.services

  #checkov:skip=CKV2_AWS_57:the values are tokens that the dispatcher issues and connection strings; docs/terraform.md has the rotation
  name                    = "/${var.environment}/platform/${each.key}"
  description             = "Trace ${each.key}: JSON with ${each.value}"
  kms_key_id              = var.key_arn
  recovery_window_in_days = var.recovery_days
}

resource "aws_secretsmanager_secret_policy" "service" {
  for_each = local.services

  secret_arn          = aws_secretsmanager_secret.service[each.key].arn
  block_public_policy = true

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Sid       = "ReadByItsServiceOnly"
      Effect    = "Deny"
      Principal = "*"
      Action    = "secretsmanager:GetSecretValue"
      Resource  = "*"
      Condition = {
        ArnNotLike = { "aws:PrincipalArn" = concat(["arn:${var.partition}:iam::${var.account_id}:role/${var.name}-${each.key}-execution"], var.operator_role_arns) }
      }
    }]
  })
}
