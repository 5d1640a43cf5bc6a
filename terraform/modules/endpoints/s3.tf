# Two gateway endpoints for S3: a route table has one, and tasks get a stricter one than services.

locals {
  bucket       = var.data_bucket_arn
  task_objects = "${local.bucket}/data/*"
  blob_objects = "${local.bucket}/blobs/*"

  # ECR keeps image layers in a bucket of AWS's own and answers with addresses that it signed itself: neither the
  # principal nor the bucket is of this account, so neither condition can hold. Reading from this one bucket is let
  # through. It can't be written to, and holds nothing but layers of images that ECR hands out.
  image_layers = {
    Sid       = "ImageLayersOfEcr"
    Effect    = "Allow"
    Principal = { AWS = "*" }
    Action    = ["s3:GetObject"]
    Resource  = ["arn:${var.partition}:s3:::prod-${var.region}-starport-layer-bucket/*"]
  }
}

resource "aws_vpc_endpoint" "s3_tasks" {
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = var.route_table_ids.tasks

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # An attempt's own sessions, and addresses that were signed with such a session.
        Sid       = "SessionsOfAttempts"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource  = [local.task_objects]
        Condition = merge(local.ours, { ArnEquals = { "aws:PrincipalArn" = var.session_role_arn } })
      },
      {
        Sid       = "SessionsOfAttemptsList"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["s3:ListBucket"]
        Resource  = [local.bucket]
        Condition = merge(local.ours, { ArnEquals = { "aws:PrincipalArn" = var.session_role_arn } })
      },
      {
        # Bundles, by an address that the dispatcher signed.
        Sid       = "BundlesByAddress"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["s3:GetObject"]
        Resource  = [local.blob_objects]
        Condition = merge(local.ours, { ArnEquals = { "aws:PrincipalArn" = var.dispatcher_role_arn } })
      },
      local.image_layers,
    ]
  })

  tags = { Name = "${var.name}-s3-tasks" }
}

resource "aws_vpc_endpoint" "s3_services" {
  vpc_id            = var.vpc_id
  service_name      = "com.amazonaws.${var.region}.s3"
  vpc_endpoint_type = "Gateway"
  route_table_ids   = concat(var.route_table_ids.services, var.route_table_ids.egress)

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "OurPrincipalsOurBucket"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:ListBucket"]
        Resource  = [local.bucket, local.task_objects, local.blob_objects]
        Condition = local.ours
      },
      local.image_layers,
    ]
  })

  tags = { Name = "${var.name}-s3-services" }
}
