# The folder of the keys that sign capabilities. The dispatchers of a database share it (docs/operations.md): KMS
# certifies the keys, and this file system keeps their private halves, for the dispatcher's role alone.
#
# There is no backup of it, on purpose: a backup of a signing key is one more place to steal it from. A lost one is
# replaced (`keys.when_lost: replace`).

resource "aws_efs_file_system" "this" {
  encrypted       = true
  kms_key_id      = var.key_arn
  throughput_mode = "elastic"

  tags = { Name = "${var.name}-keys" }
}

resource "aws_efs_mount_target" "this" {
  for_each = var.subnet_ids

  file_system_id  = aws_efs_file_system.this.id
  subnet_id       = each.value
  security_groups = [var.group_id]
}

resource "aws_efs_access_point" "dispatcher" {
  file_system_id = aws_efs_file_system.this.id

  posix_user {
    uid = 65532
    gid = 65532
  }

  root_directory {
    path = "/keys"

    creation_info {
      owner_uid   = 65532
      owner_gid   = 65532
      permissions = "0700"
    }
  }

  tags = { Name = "${var.name}-keys" }
}

resource "aws_efs_file_system_policy" "this" {
  file_system_id = aws_efs_file_system.this.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TheDispatcherByItsAccessPoint"
        Effect    = "Allow"
        Principal = { AWS = var.dispatcher_role_arn }
        Action    = ["elasticfilesystem:ClientMount", "elasticfilesystem:ClientWrite"]
        Resource  = aws_efs_file_system.this.arn
        Condition = { StringEquals = { "elasticfilesystem:AccessPointArn" = aws_efs_access_point.dispatcher.arn } }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = { AWS = "*" }
        Action    = "*"
        Resource  = aws_efs_file_system.this.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}
