# One bucket for what the platform keeps: `blobs/ORG/SHA256` (bundles, uploads) and `data/ORG/RUN/TASK/ATTEMPT/`
# (outputs and scratch). And one for access logs, which hold no data.

resource "aws_s3_bucket" "data" {
  #checkov:skip=CKV_AWS_144:data is pinned to one region by its users; a copy elsewhere is theirs to decide
  #checkov:skip=CKV2_AWS_62:nobody waits for events of this bucket; commits go through the dispatcher
  bucket        = "${var.name}-${var.account_id}-data"
  force_destroy = var.force_destroy
}

resource "aws_s3_bucket_public_access_block" "data" {
  bucket = aws_s3_bucket.data.id

  block_public_acls       = true
  block_public_policy     = true
  ignore_public_acls      = true
  restrict_public_buckets = true
}

resource "aws_s3_bucket_ownership_controls" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    object_ownership = "BucketOwnerEnforced"
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    bucket_key_enabled = true

    apply_server_side_encryption_by_default {
      sse_algorithm     = "aws:kms"
      kms_master_key_id = var.key_arn
    }
  }
}

resource "aws_s3_bucket_versioning" "data" {
  bucket = aws_s3_bucket.data.id

  versioning_configuration {
    status = "Enabled"
  }
}

resource "aws_s3_bucket_logging" "data" {
  bucket        = aws_s3_bucket.data.id
  target_bucket = aws_s3_bucket.logs.id
  target_prefix = "s3/"

  # S3 looks whether it may write there.
  depends_on = [aws_s3_bucket_policy.logs]
}

# What no manifest lists is the dispatcher's to collect. These rules take what nobody can name any more.
resource "aws_s3_bucket_lifecycle_configuration" "data" {
  bucket = aws_s3_bucket.data.id

  rule {
    id     = "unfinished-uploads"
    status = "Enabled"

    filter {}

    abort_incomplete_multipart_upload {
      days_after_initiation = 2
    }
  }

  rule {
    id     = "replaced-and-deleted"
    status = "Enabled"

    filter {}

    noncurrent_version_expiration {
      noncurrent_days = var.noncurrent_days
    }

    expiration {
      expired_object_delete_marker = true
    }
  }

  rule {
    id     = "colder"
    status = "Enabled"

    filter {
      prefix = "data/"
    }

    transition {
      days          = 90
      storage_class = "INTELLIGENT_TIERING"
    }
  }

  depends_on = [aws_s3_bucket_versioning.data]
}
