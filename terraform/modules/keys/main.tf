# One key for each kind of data, so that a grant on one says nothing about the others.

locals {
  root = "arn:${var.partition}:iam::${var.account_id}:root"

  # What AWS services may do with a key on the account's behalf. Everyone else needs both an IAM policy
  # and `kms:ViaService`; see the identity module.
  purposes = {
    data     = { description = "objects of the data bucket", services = [] }
    database = { description = "the two databases, their backups and master passwords", services = [] }
    queue    = { description = "wake-up queues and alarms", services = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
    secrets  = { description = "secrets of the platform and of the orgs", services = [] }
    logs     = { description = "log groups", services = ["logs.${var.region}.amazonaws.com"] }
    scratch  = { description = "what tasks keep while they run", services = [] }
  }

  # Fargate encrypts ephemeral storage for this cluster and no other.
  fargate_context = {
    "kms:EncryptionContext:aws:ecs:clusterAccount" = [var.account_id]
    "kms:EncryptionContext:aws:ecs:clusterName"    = [var.name]
  }
  fargate = [
    {
      Sid       = "FargateMakesDataKeys"
      Effect    = "Allow"
      Principal = { Service = "fargate.amazonaws.com" }
      Action    = ["kms:GenerateDataKeyWithoutPlaintext"]
      Resource  = "*"
      Condition = { StringEquals = local.fargate_context }
    },
    {
      Sid       = "FargateLetsHostsDecrypt"
      Effect    = "Allow"
      Principal = { Service = "fargate.amazonaws.com" }
      Action    = ["kms:CreateGrant"]
      Resource  = "*"
      Condition = {
        StringEquals                = local.fargate_context
        "ForAllValues:StringEquals" = { "kms:GrantOperations" = ["Decrypt"] }
      }
    },
  ]
}

resource "aws_kms_key" "this" {
  for_each = local.purposes

  description             = "${var.name}: ${each.value.description}"
  enable_key_rotation     = true
  deletion_window_in_days = var.deletion_window_days

  # The account's root statement hands the decision to IAM; without it nobody could ever change the key.
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "DecidedByIam"
        Effect    = "Allow"
        Principal = { AWS = local.root }
        Action    = "kms:*"
        Resource  = "*"
      }],
      [for service in each.value.services : {
        Sid       = "Service${index(each.value.services, service)}"
        Effect    = "Allow"
        Principal = { Service = service }
        Action    = ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:GenerateDataKeyWithoutPlaintext", "kms:ReEncryptFrom", "kms:ReEncryptTo", "kms:DescribeKey"]
        Resource  = "*"
        Condition = each.key == "logs" ? {
          ArnLike = { "kms:EncryptionContext:aws:logs:arn" = "arn:${var.partition}:logs:${var.region}:${var.account_id}:*" }
          } : {
          StringEquals = { "aws:SourceAccount" = var.account_id }
        }
      }],
      each.key == "scratch" ? local.fargate : [],
    )
  })

  tags = { Name = "${var.name}-${each.key}" }
}

resource "aws_kms_alias" "this" {
  for_each = local.purposes

  name          = "alias/${var.name}-${each.key}"
  target_key_id = aws_kms_key.this[each.key].key_id
}

# The root of trust of capability tokens. It certifies the dispatcher's hourly signing key (ES256); nothing else
# may sign with it, and its private half never leaves KMS.
resource "aws_kms_key" "signing" {
  #checkov:skip=CKV_AWS_7:KMS does not rotate asymmetric keys; docs/terraform.md says how to replace this one
  description              = "${var.name}: root of trust of capability tokens"
  customer_master_key_spec = "ECC_NIST_P256"
  key_usage                = "SIGN_VERIFY"
  deletion_window_in_days  = var.deletion_window_days

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "DecidedByIam"
        Effect    = "Allow"
        Principal = { AWS = local.root }
        Action    = "kms:*"
        Resource  = "*"
      },
      {
        Sid       = "TheDispatcherAloneSigns"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "kms:Sign"
        Resource  = "*"
        Condition = { StringNotEquals = { "aws:PrincipalArn" = "arn:${var.partition}:iam::${var.account_id}:role/${var.name}-dispatcher" } }
      },
    ]
  })

  tags = { Name = "${var.name}-signing" }
}

resource "aws_kms_alias" "signing" {
  name          = "alias/${var.name}-signing"
  target_key_id = aws_kms_key.signing.key_id
}
