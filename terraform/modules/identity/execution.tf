# What ECS itself needs to start a task: its image, its log stream, its secrets. The program inside never has it.

locals {
  ecs_trust = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ecs-tasks.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = {
        StringEquals = { "aws:SourceAccount" = var.account_id }
        ArnLike      = { "aws:SourceArn" = "${local.ecs}:*" }
      }
    }]
  })

  # Whose repository. A service's task also has `configure`, which writes its configuration file.
  repositories = {
    dispatcher = ["dispatcher", "configure"]
    query      = ["query", "configure"]
    worker     = ["worker", "configure"]
    egress     = ["egress", "configure"]
    udf        = ["runner"]
    operator   = ["runner"]
  }

  org_secrets = "arn:${var.partition}:secretsmanager:${var.region}:${var.account_id}:secret:/${var.environment}/*/*"
  # The platform's own secrets have the same shape; operators must not reach them.
  platform_secrets = "arn:${var.partition}:secretsmanager:${var.region}:${var.account_id}:secret:/${var.environment}/platform/*"

  secrets = {
    dispatcher = [var.secret_arns.dispatcher]
    query      = [var.secret_arns.query]
    worker     = [var.secret_arns.worker]
    egress     = [var.secret_arns.egress]
    udf        = []
    operator   = [local.org_secrets]
  }

  logs = {
    dispatcher = ["${var.log_group_arns.dispatcher}:log-stream:*"]
    query      = ["${var.log_group_arns.query}:log-stream:*"]
    worker     = ["${var.log_group_arns.worker}:log-stream:*"]
    egress     = ["${var.log_group_arns.egress}:log-stream:*"]
    # What a UDF prints goes to the dispatcher, capped and masked. It has no log stream.
    udf      = []
    operator = ["${var.log_group_arns.operator}:log-stream:*"]
  }
}

resource "aws_iam_role" "execution" {
  for_each = toset(local.tasks)

  name        = "${var.name}-${each.key}-execution"
  description = "What ECS needs to start ${each.key}; the program never holds it"

  assume_role_policy = local.ecs_trust
}

resource "aws_iam_role_policy" "execution" {
  for_each = toset(local.tasks)

  name = "start"
  role = aws_iam_role.execution[each.key].id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [
        {
          # A login to the account's registry names no repository.
          Sid      = "LogInToTheRegistry"
          Effect   = "Allow"
          Action   = ["ecr:GetAuthorizationToken"]
          Resource = ["*"]
        },
        {
          Sid      = "PullItsImage"
          Effect   = "Allow"
          Action   = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
          Resource = [for repository in local.repositories[each.key] : var.repository_arns[repository]]
        },
      ],
      length(local.logs[each.key]) == 0 ? [] : [{
        Sid      = "WriteItsLog"
        Effect   = "Allow"
        Action   = ["logs:CreateLogStream", "logs:PutLogEvents"]
        Resource = local.logs[each.key]
      }],
      [for statement in [
        {
          Sid      = "ReadItsSecrets"
          Effect   = "Allow"
          Action   = ["secretsmanager:GetSecretValue"]
          Resource = local.secrets[each.key]
        },
        {
          Sid       = "SecretsKeyBySecretsManagerOnly"
          Effect    = "Allow"
          Action    = ["kms:Decrypt"]
          Resource  = [var.key_arns.secrets]
          Condition = { StringEquals = { "kms:ViaService" = "secretsmanager.${var.region}.amazonaws.com" } }
        },
      ] : statement if length(local.secrets[each.key]) > 0],
      each.key != "operator" ? [] : [{
        Sid      = "NeverThePlatformsSecrets"
        Effect   = "Deny"
        Action   = ["secretsmanager:GetSecretValue"]
        Resource = [local.platform_secrets]
      }],
    )
  })
}
