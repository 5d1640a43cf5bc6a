# The only way to AWS from private subnets. Every policy has two conditions: who asks is of this account
# (`aws:PrincipalAccount`), and what is asked for belongs to it (`aws:ResourceAccount`). So keys that untrusted code
# brought along open nothing here, and nobody else's bucket or queue can be written to.

locals {
  ours = {
    StringEquals = {
      "aws:PrincipalAccount" = var.account_id
      "aws:ResourceAccount"  = var.account_id
    }
  }
  # For calls that name no resource, such as a registry login: there is no resource account to compare.
  our_principals = { StringEquals = { "aws:PrincipalAccount" = var.account_id } }

  # What each endpoint lets through, and from whom. `without_resource` lists the calls that name none.
  interfaces = {
    sqs = {
      actions          = ["sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes", "sqs:GetQueueUrl"]
      resources        = ["arn:${var.partition}:sqs:${var.region}:${var.account_id}:${var.name}-*"]
      without_resource = []
    }
    sts = {
      actions          = ["sts:AssumeRole"]
      resources        = [var.session_role_arn]
      without_resource = ["sts:GetCallerIdentity"]
    }
    kms = {
      actions          = ["kms:Sign", "kms:GetPublicKey", "kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"]
      resources        = concat(values(var.key_arns), [var.signing_key_arn])
      without_resource = []
    }
    secretsmanager = {
      actions          = ["secretsmanager:GetSecretValue", "secretsmanager:DescribeSecret"]
      resources        = ["arn:${var.partition}:secretsmanager:${var.region}:${var.account_id}:secret:/${var.environment}/*"]
      without_resource = []
    }
    logs = {
      actions          = ["logs:CreateLogStream", "logs:PutLogEvents"]
      resources        = ["arn:${var.partition}:logs:${var.region}:${var.account_id}:log-group:/trace/${var.environment}/*"]
      without_resource = []
    }
    ecs = {
      actions = ["ecs:RunTask", "ecs:StopTask", "ecs:DescribeTasks", "ecs:ListTasks", "ecs:RegisterTaskDefinition", "ecs:DeregisterTaskDefinition", "ecs:DescribeTaskDefinition", "ecs:TagResource"]
      resources = [
        "arn:${var.partition}:ecs:${var.region}:${var.account_id}:*",
      ]
      without_resource = ["ecs:ListTasks", "ecs:DescribeTaskDefinition", "ecs:DeregisterTaskDefinition"]
    }
    lambda = {
      actions          = ["lambda:InvokeFunction", "lambda:CreateFunction", "lambda:DeleteFunction", "lambda:GetFunction"]
      resources        = ["arn:${var.partition}:lambda:${var.region}:${var.account_id}:function:${var.name}-udf-*"]
      without_resource = []
    }
    "ecr.api" = {
      actions          = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources        = var.repository_arns
      without_resource = ["ecr:GetAuthorizationToken"]
    }
    "ecr.dkr" = {
      actions          = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
      resources        = var.repository_arns
      without_resource = ["ecr:GetAuthorizationToken"]
    }
  }

  images = toset(["ecr.api", "ecr.dkr"])
}

resource "aws_vpc_endpoint" "interface" {
  for_each = local.interfaces

  vpc_id              = var.vpc_id
  service_name        = "com.amazonaws.${var.region}.${each.key}"
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = slice(var.subnet_ids.services, 0, min(var.interface_zones, length(var.subnet_ids.services)))
  security_group_ids  = [contains(local.images, each.key) ? var.group_ids.images : var.group_ids.endpoints]

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = concat(
      [{
        Sid       = "OurPrincipalsOurResources"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = each.value.actions
        Resource  = each.value.resources
        Condition = local.ours
      }],
      length(each.value.without_resource) == 0 ? [] : [{
        Sid       = "OurPrincipalsWithoutResource"
        Effect    = "Allow"
        Principal = { AWS = "*" }
        Action    = each.value.without_resource
        Resource  = "*"
        Condition = local.our_principals
      }],
    )
  })

  tags = { Name = "${var.name}-${each.key}" }
}

# Where users' tokens come from, if the issuer has an interface endpoint: the only way for services to fetch its
# public keys, as they have no other way out.
resource "aws_vpc_endpoint" "issuer" {
  count = var.issuer_service_name == null ? 0 : 1

  #checkov:skip=CKV_AWS_123:false positive; this is a consumer's endpoint, not an endpoint service
  vpc_id              = var.vpc_id
  service_name        = var.issuer_service_name
  vpc_endpoint_type   = "Interface"
  private_dns_enabled = true
  subnet_ids          = slice(var.subnet_ids.services, 0, min(var.interface_zones, length(var.subnet_ids.services)))
  security_group_ids  = [var.group_ids.endpoints]

  tags = { Name = "${var.name}-issuer" }
}
