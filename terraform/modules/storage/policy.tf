# Denials that no identity's policy can undo. What is allowed is said in the identity module.

locals {
  bucket  = aws_s3_bucket.data.arn
  objects = "${aws_s3_bucket.data.arn}/*"
  blobs   = "${aws_s3_bucket.data.arn}/blobs/*"
  data    = "${aws_s3_bucket.data.arn}/data/*"
}

resource "aws_s3_bucket_policy" "data" {
  bucket = aws_s3_bucket.data.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket, local.objects]
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "Tls12OrLater"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket, local.objects]
        Condition = { NumericLessThan = { "s3:TlsVersion" = "1.2" } }
      },
      {
        Sid       = "OtherAccounts"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:*"
        Resource  = [local.bucket, local.objects]
        Condition = {
          StringNotEquals = { "aws:PrincipalAccount" = var.account_id }
          BoolIfExists    = { "aws:PrincipalIsAWSService" = "false" }
        }
      },
      {
        # Objects are read and written from inside the VPC. Keys that leak are worth nothing outside of it.
        Sid       = "OutsideOfTheVpc"
        Effect    = "Deny"
        Principal = "*"
        Action    = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject", "s3:DeleteObject", "s3:DeleteObjectVersion", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource  = [local.objects]
        Condition = {
          StringNotEquals = { "aws:SourceVpce" = var.endpoint_ids }
          ArnNotLike      = { "aws:PrincipalArn" = concat(["arn:${var.partition}:iam::${var.account_id}:root"], var.operator_role_arns) }
        }
      },
      {
        Sid       = "AnotherKey"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = [local.objects]
        Condition = {
          Null            = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = "false" }
          StringNotEquals = { "s3:x-amz-server-side-encryption-aws-kms-key-id" = var.key_arn }
        }
      },
      {
        Sid       = "WithoutKms"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:PutObject"
        Resource  = [local.objects]
        Condition = {
          Null            = { "s3:x-amz-server-side-encryption" = "false" }
          StringNotEquals = { "s3:x-amz-server-side-encryption" = "aws:kms" }
        }
      },
      {
        # An attempt's session reaches `data/` whatever its session policy or the role's policy say.
        Sid         = "AttemptsOutsideOfData"
        Effect      = "Deny"
        Principal   = "*"
        Action      = "s3:*"
        NotResource = [local.bucket, local.data]
        Condition   = { ArnEquals = { "aws:PrincipalArn" = var.session_role_arn } }
      },
      {
        Sid       = "AttemptsOtherActions"
        Effect    = "Deny"
        Principal = "*"
        NotAction = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts", "s3:ListBucket"]
        Resource  = [local.bucket, local.objects]
        Condition = { ArnEquals = { "aws:PrincipalArn" = var.session_role_arn } }
      },
      {
        # A listing without a prefix, or of another one, would name what others have.
        Sid       = "AttemptsListOutsideOfData"
        Effect    = "Deny"
        Principal = "*"
        Action    = "s3:ListBucket"
        Resource  = [local.bucket]
        Condition = {
          ArnEquals     = { "aws:PrincipalArn" = var.session_role_arn }
          StringNotLike = { "s3:prefix" = ["data/*/"] }
        }
      },
      {
        Sid         = "QueryServiceReadsData"
        Effect      = "Deny"
        Principal   = "*"
        Action      = "s3:*"
        NotResource = [local.data]
        Condition   = { ArnEquals = { "aws:PrincipalArn" = var.query_role_arn } }
      },
      {
        Sid       = "QueryServiceNeverWrites"
        Effect    = "Deny"
        Principal = "*"
        NotAction = ["s3:GetObject"]
        Resource  = [local.bucket, local.objects]
        Condition = { ArnEquals = { "aws:PrincipalArn" = var.query_role_arn } }
      },
      {
        Sid         = "DispatcherOutsideOfItsPrefixes"
        Effect      = "Deny"
        Principal   = "*"
        Action      = "s3:*"
        NotResource = [local.bucket, local.blobs, local.data]
        Condition   = { ArnEquals = { "aws:PrincipalArn" = var.dispatcher_role_arn } }
      },
    ]
  })

  depends_on = [aws_s3_bucket_public_access_block.data]
}
