# One role a service: what the running program may do. What starts it (image, log stream, secrets) is another role,
# in execution.tf, which the program never holds.

locals {
  permissions = {
    dispatcher = [
      {
        Sid      = "BlobsAndOutputs"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${var.data_bucket_arn}/blobs/*", "${var.data_bucket_arn}/data/*"]
      },
      {
        Sid      = "StoreBlobs"
        Effect   = "Allow"
        Action   = ["s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = ["${var.data_bucket_arn}/blobs/*"]
      },
      {
        Sid       = "ListOutputs"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [var.data_bucket_arn]
        Condition = { StringLike = { "s3:prefix" = ["data/*", "blobs/*"] } }
      },
      {
        Sid       = "ObjectsKeyByS3Only"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.key_arns.data]
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      },
      {
        Sid      = "SessionsOfAttempts"
        Effect   = "Allow"
        Action   = ["sts:AssumeRole"]
        Resource = [local.role_arn.session]
      },
      {
        Sid      = "WakeWorkers"
        Effect   = "Allow"
        Action   = ["sqs:SendMessage", "sqs:GetQueueAttributes"]
        Resource = [for queue in var.wakeups : queue.arn]
      },
      {
        Sid       = "QueueKeyBySqsOnly"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.key_arns.queue]
        Condition = { StringEquals = { "kms:ViaService" = "sqs.${var.region}.amazonaws.com" } }
      },
      {
        Sid       = "CertifySigningKeys"
        Effect    = "Allow"
        Action    = ["kms:Sign"]
        Resource  = [var.signing_key_arn]
        Condition = { StringEquals = { "kms:SigningAlgorithm" = "ECDSA_SHA_256" } }
      },
      {
        Sid      = "ReadTheRootsPublicKey"
        Effect   = "Allow"
        Action   = ["kms:GetPublicKey"]
        Resource = [var.signing_key_arn]
      },
      {
        Sid      = "KeepCheckpointsElsewhere"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = ["${var.audit_log_group_arn}:log-stream:*"]
      },
    ]

    # Reads what manifests list; presigns those reads for its engines, which hold no keys.
    query = [
      {
        Sid      = "ReadData"
        Effect   = "Allow"
        Action   = ["s3:GetObject"]
        Resource = ["${var.data_bucket_arn}/data/*"]
      },
      {
        Sid       = "ObjectsKeyByS3Only"
        Effect    = "Allow"
        Action    = ["kms:Decrypt"]
        Resource  = [var.key_arns.data]
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      },
    ]

    worker = concat(local.worker_queue, local.worker_ecs, local.worker_lambda)
  }
}

# The egress gateway asks AWS for nothing: its role is empty.
resource "aws_iam_role" "service" {
  for_each = toset(["dispatcher", "query", "worker", "egress"])

  name        = "${var.name}-${each.key}"
  description = "What the running ${each.key} may do"

  assume_role_policy = local.ecs_trust
}

resource "aws_iam_role_policy" "service" {
  for_each = local.permissions

  name   = "permissions"
  role   = aws_iam_role.service[each.key].id
  policy = jsonencode({ Version = "2012-10-17", Statement = each.value })
}
