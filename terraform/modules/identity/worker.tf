# The worker receives wake-ups and starts tasks. It may hand a started task only the execution roles of tasks, which
# pull an image and nothing else that matters; no role that reads data, signs or mints is in its reach.

locals {
  worker_queue = [
    {
      Sid      = "ReceiveWakeups"
      Effect   = "Allow"
      Action   = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility", "sqs:GetQueueAttributes"]
      Resource = [for queue in var.wakeups : queue.arn]
    },
    {
      Sid      = "SetAsideWhatCannotBeParsed"
      Effect   = "Allow"
      Action   = ["sqs:SendMessage"]
      Resource = [for queue in var.dead : queue.arn]
    },
    {
      Sid       = "QueueKeyBySqsOnly"
      Effect    = "Allow"
      Action    = ["kms:Decrypt", "kms:GenerateDataKey"]
      Resource  = [var.key_arns.queue]
      Condition = { StringEquals = { "kms:ViaService" = "sqs.${var.region}.amazonaws.com" } }
    },
  ]

  worker_ecs = [
    {
      Sid       = "StartTasks"
      Effect    = "Allow"
      Action    = ["ecs:RunTask"]
      Resource  = ["${local.ecs}:task-definition/${var.name}-udf:*", "${local.ecs}:task-definition/${var.name}-operator-*:*"]
      Condition = { ArnEquals = { "ecs:cluster" = local.cluster } }
    },
    {
      Sid       = "WatchAndStopThem"
      Effect    = "Allow"
      Action    = ["ecs:DescribeTasks", "ecs:StopTask"]
      Resource  = ["${local.ecs}:task/${var.name}/*"]
      Condition = { ArnEquals = { "ecs:cluster" = local.cluster } }
    },
    {
      # ListTasks names no task: the cluster is in the condition. It is how leaked tasks are found.
      Sid       = "FindLeakedTasks"
      Effect    = "Allow"
      Action    = ["ecs:ListTasks"]
      Resource  = ["*"]
      Condition = { ArnEquals = { "ecs:cluster" = local.cluster } }
    },
    {
      Sid       = "NameTheAttempt"
      Effect    = "Allow"
      Action    = ["ecs:TagResource"]
      Resource  = ["${local.ecs}:task/${var.name}/*"]
      Condition = { StringEquals = { "ecs:CreateAction" = "RunTask" } }
    },
    {
      # A trusted operator's secrets are named in its task definition, so each set of them has one.
      Sid      = "DefineOperators"
      Effect   = "Allow"
      Action   = ["ecs:RegisterTaskDefinition"]
      Resource = ["${local.ecs}:task-definition/${var.name}-operator-*:*"]
    },
    {
      # These name no resource in IAM. They read and retire definitions, and start nothing.
      Sid      = "RetireOperators"
      Effect   = "Allow"
      Action   = ["ecs:DescribeTaskDefinition", "ecs:DeregisterTaskDefinition"]
      Resource = ["*"]
    },
    {
      Sid       = "HandOverExecutionRoles"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [local.execution_arn.udf, local.execution_arn.operator]
      Condition = { StringEquals = { "iam:PassedToService" = "ecs-tasks.amazonaws.com" } }
    },
    {
      # That a secret is there, never what it is.
      Sid      = "SecretsByName"
      Effect   = "Allow"
      Action   = ["secretsmanager:DescribeSecret"]
      Resource = [local.org_secrets]
    },
    {
      Sid      = "NeverTheirValues"
      Effect   = "Deny"
      Action   = ["secretsmanager:GetSecretValue"]
      Resource = ["*"]
    },
  ]

  # A function for each authority, in the tasks' subnets and nowhere else.
  worker_lambda = [
    {
      Sid      = "InvokeAndRetireFunctions"
      Effect   = "Allow"
      Action   = ["lambda:InvokeFunction", "lambda:DeleteFunction", "lambda:GetFunction"]
      Resource = ["arn:${var.partition}:lambda:${var.region}:${var.account_id}:function:${var.name}-udf-*"]
    },
    {
      Sid      = "CreateFunctionsInTheTasksSubnets"
      Effect   = "Allow"
      Action   = ["lambda:CreateFunction"]
      Resource = ["arn:${var.partition}:lambda:${var.region}:${var.account_id}:function:${var.name}-udf-*"]
      Condition = {
        "ForAllValues:StringEquals" = {
          "lambda:SubnetIds"        = var.task_subnet_ids
          "lambda:SecurityGroupIds" = [var.udf_group_id]
        }
        # `ForAllValues` holds of an empty list: a function outside of any VPC has none.
        Null = { "lambda:SubnetIds" = "false", "lambda:SecurityGroupIds" = "false" }
      }
    },
    {
      Sid       = "HandOverTheFunctionsRole"
      Effect    = "Allow"
      Action    = ["iam:PassRole"]
      Resource  = [local.role_arn["lambda-udf"]]
      Condition = { StringEquals = { "iam:PassedToService" = "lambda.amazonaws.com" } }
    },
  ]
}
