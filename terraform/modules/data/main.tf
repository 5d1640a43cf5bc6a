# Two databases, on purpose: the state of the platform, which the dispatcher alone reaches, and hot data, which
# the query service reads. A query that brings the second to its knees leaves the first alone.

resource "aws_db_subnet_group" "this" {
  name        = var.name
  description = "Private subnets without a default route"
  subnet_ids  = var.subnet_ids
}

resource "aws_db_parameter_group" "this" {
  name        = "${var.name}-postgres15"
  family      = "postgres15"
  description = "TLS is asked for, and what takes long or is refused is logged"

  parameter {
    name  = "rds.force_ssl"
    value = "1"
  }

  parameter {
    name  = "ssl_min_protocol_version"
    value = "TLSv1.2"
  }

  parameter {
    name  = "log_connections"
    value = "1"
  }

  parameter {
    name  = "log_disconnections"
    value = "1"
  }

  # Statements carry their function's name in the first line and no values: parameters are never logged.
  parameter {
    name  = "log_min_duration_statement"
    value = "1000"
  }

  parameter {
    name  = "log_parameter_max_length"
    value = "0"
  }

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_db_instance" "this" {
  for_each = var.databases

  #checkov:skip=CKV_AWS_157:more than one zone is a setting; prod has it, dev has not
  #checkov:skip=CKV_AWS_293:deletion protection is a setting; prod and staging have it, and a test asserts it of prod
  #checkov:skip=CKV2_AWS_30:statements of more than a second are logged; logging every one would write task ids a second time
  identifier     = "${var.name}-${each.key}"
  engine         = "postgres"
  engine_version = "15"
  instance_class = each.value.instance_class
  db_name        = "trace"
  username       = "trace_admin"

  # The master password is made, kept and rotated by Secrets Manager. Terraform never sees it.
  manage_master_user_password   = true
  master_user_secret_kms_key_id = var.key_arn

  allocated_storage     = each.value.storage_gib
  max_allocated_storage = each.value.storage_gib * 4
  storage_type          = "gp3"
  storage_encrypted     = true
  kms_key_id            = var.key_arn

  db_subnet_group_name   = aws_db_subnet_group.this.name
  parameter_group_name   = aws_db_parameter_group.this.name
  vpc_security_group_ids = [var.group_ids["${each.key}_database"]]
  publicly_accessible    = false
  multi_az               = var.multi_az

  iam_database_authentication_enabled = true

  backup_retention_period   = var.backup_days
  backup_window             = "02:00-03:00"
  maintenance_window        = "sun:03:30-sun:04:30"
  copy_tags_to_snapshot     = true
  delete_automated_backups  = !var.deletion_protection
  deletion_protection       = var.deletion_protection
  skip_final_snapshot       = !var.deletion_protection
  final_snapshot_identifier = var.deletion_protection ? "${var.name}-${each.key}-final" : null

  auto_minor_version_upgrade = true
  apply_immediately          = false

  enabled_cloudwatch_logs_exports       = ["postgresql", "upgrade"]
  performance_insights_enabled          = true
  performance_insights_kms_key_id       = var.key_arn
  performance_insights_retention_period = 7
  monitoring_interval                   = 60
  monitoring_role_arn                   = aws_iam_role.monitoring.arn

  depends_on = [aws_cloudwatch_log_group.this]

  tags = { Name = "${var.name}-${each.key}" }
}

# Made before the database makes it, so that it has a retention and a key.
resource "aws_cloudwatch_log_group" "this" {
  for_each = toset(flatten([for key, _ in var.databases : ["${key}/postgresql", "${key}/upgrade"]]))

  name              = "/aws/rds/instance/${var.name}-${each.key}"
  retention_in_days = var.log_days
  kms_key_id        = var.log_key_arn
}

resource "aws_iam_role" "monitoring" {
  name = "${var.name}-rds-monitoring"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "monitoring.rds.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

# RDSOSMetrics is the one log group that RDS's enhanced monitoring writes, whatever the instance.
resource "aws_iam_role_policy" "monitoring" {
  name = "write"
  role = aws_iam_role.monitoring.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect = "Allow"
      Action = ["logs:CreateLogGroup", "logs:PutRetentionPolicy", "logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams", "logs:GetLogEvents"]
      Resource = [
        "arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:RDSOSMetrics",
        "arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:RDSOSMetrics:log-stream:*",
      ]
    }]
  })
}
