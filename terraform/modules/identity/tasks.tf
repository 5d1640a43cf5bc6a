# What untrusted code runs with. In ECS: no task role at all, so that there are no credentials to ask for. In
# Lambda a role is compulsory: it can make network interfaces, and the code inside can't even do that.

# Attempts' sessions. A session can do what this role, its session policy, the bucket's policy and the endpoint's
# policy all allow. Only the dispatcher assumes it.
resource "aws_iam_role" "session" {
  name                 = "${var.name}-session"
  description          = "The outer bound of every attempt's object store session"
  max_session_duration = 3600

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { AWS = aws_iam_role.service["dispatcher"].arn }
      Action    = "sts:AssumeRole"
      # `trace-ATTEMPT-TASK-ORG`: CloudTrail says which attempt did something.
      Condition = { StringLike = { "sts:RoleSessionName" = "trace-a*" } }
    }]
  })
}

resource "aws_iam_role_policy" "session" {
  name = "outer-bound"
  role = aws_iam_role.session.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid      = "Objects"
        Effect   = "Allow"
        Action   = ["s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts"]
        Resource = ["${var.data_bucket_arn}/data/*"]
      },
      {
        Sid       = "List"
        Effect    = "Allow"
        Action    = ["s3:ListBucket"]
        Resource  = [var.data_bucket_arn]
        Condition = { StringLike = { "s3:prefix" = ["data/*/"] } }
      },
      {
        Sid       = "ObjectsKeyByS3Only"
        Effect    = "Allow"
        Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
        Resource  = [var.key_arns.data]
        Condition = { StringEquals = { "kms:ViaService" = "s3.${var.region}.amazonaws.com" } }
      },
    ]
  })
}

resource "aws_iam_role" "lambda_udf" {
  name        = "${var.name}-lambda-udf"
  description = "Lets Lambda attach functions to the tasks' subnets; the code inside may do nothing"

  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "lambda.amazonaws.com" }
      Action    = "sts:AssumeRole"
      Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
    }]
  })
}

resource "aws_iam_role_policy" "lambda_udf" {
  #checkov:skip=CKV_AWS_290:Lambda asks for network interfaces on every resource; the code inside is denied everything
  name = "network-interfaces"
  role = aws_iam_role.lambda_udf.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        # Lambda asks for these on every resource: the interface does not exist yet, and describing names none.
        Sid      = "NetworkInterfaces"
        Effect   = "Allow"
        Action   = local.network_interfaces
        Resource = ["*"]
      },
      {
        # Calls that come out of a function carry its ARN; those of Lambda itself do not.
        Sid       = "NotForTheCodeItself"
        Effect    = "Deny"
        Action    = ["*"]
        Resource  = ["*"]
        Condition = { ArnLike = { "lambda:SourceFunctionArn" = "arn:${var.partition}:lambda:${var.region}:${var.account_id}:function:*" } }
      },
    ]
  })
}

locals {
  network_interfaces = [
    "ec2:CreateNetworkInterface",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSubnets",
    "ec2:DeleteNetworkInterface",
    "ec2:AssignPrivateIpAddresses",
    "ec2:UnassignPrivateIpAddresses",
  ]
}
