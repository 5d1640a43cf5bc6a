# What a person has to hear of.

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = var.key_arn
}

resource "aws_sns_topic_policy" "alarms" {
  arn = aws_sns_topic.alarms.arn

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "AlarmsAndBudgets"
        Effect    = "Allow"
        Principal = { Service = ["cloudwatch.amazonaws.com", "budgets.amazonaws.com"] }
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { StringEquals = { "aws:SourceAccount" = var.account_id } }
      },
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sns:Publish"
        Resource  = aws_sns_topic.alarms.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
    ]
  })
}

resource "aws_sns_topic_subscription" "mail" {
  for_each = var.emails

  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = each.value
}

locals {
  alarms = merge(
    { for runtime, queue in var.dead : "dead-letters-${runtime}" => {
      why        = "A wake-up could not be parsed, or nobody could claim what it names", namespace = "AWS/SQS", metric = "ApproximateNumberOfMessagesVisible"
      dimensions = { QueueName = queue.name }, statistic = "Maximum", period = 60, periods = 1, above = 0, missing = "notBreaching"
    } },
    { for runtime, queue in var.wakeups : "work-waits-long-${runtime}" => {
      why        = "A wake-up waits for ten minutes: no worker takes it", namespace = "AWS/SQS", metric = "ApproximateAgeOfOldestMessage"
      dimensions = { QueueName = queue.name }, statistic = "Maximum", period = 60, periods = 3, above = 600, missing = "notBreaching"
    } },
    { for service, group in var.load_balancer.targets : "not-ready-${service}" => {
      why        = "No instance of ${service} is ready", namespace = "AWS/ApplicationELB", metric = "UnHealthyHostCount"
      dimensions = { LoadBalancer = var.load_balancer.metric, TargetGroup = group }, statistic = "Maximum", period = 60, periods = 3, above = 0, missing = "notBreaching"
    } },
    { for database, instance in var.databases : "database-cpu-${database}" => {
      why        = "The ${database} database computes all the time", namespace = "AWS/RDS", metric = "CPUUtilization"
      dimensions = { DBInstanceIdentifier = instance.identifier }, statistic = "Average", period = 300, periods = 3, above = 85, missing = "missing"
    } },
    { for database, instance in var.databases : "database-connections-${database}" => {
      why        = "The ${database} database has nearly all the connections it takes", namespace = "AWS/RDS", metric = "DatabaseConnections"
      dimensions = { DBInstanceIdentifier = instance.identifier }, statistic = "Maximum", period = 300, periods = 1, above = var.connections, missing = "missing"
    } },
    {
      server-errors = {
        why        = "Services answer users with 5xx", namespace = "AWS/ApplicationELB", metric = "HTTPCode_Target_5XX_Count"
        dimensions = { LoadBalancer = var.load_balancer.metric }, statistic = "Sum", period = 300, periods = 1, above = 10, missing = "notBreaching"
      }
      no-token = {
        why        = "Many requests without a token: somebody is looking for a way in", namespace = "AWS/WAFV2", metric = "BlockedRequests"
        dimensions = { WebACL = var.name, Rule = "${var.name}-no-token", Region = var.region }, statistic = "Sum", period = 300, periods = 1, above = 500, missing = "notBreaching"
      }
      names-refused = {
        why        = "Something in the VPC asks for names that are not on the list: broken, or looking for a way out", namespace = "Trace/${var.environment}", metric = aws_cloudwatch_log_metric_filter.refused.metric_transformation[0].name
        dimensions = {}, statistic = "Sum", period = 300, periods = 1, above = 100, missing = "notBreaching"
      }
    },
  )
}

resource "aws_cloudwatch_metric_alarm" "this" {
  for_each = local.alarms

  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.why
  namespace           = each.value.namespace
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = each.value.period
  evaluation_periods  = each.value.periods
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  treat_missing_data  = each.value.missing
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_cloudwatch_log_metric_filter" "refused" {
  name           = "${var.name}-names-refused"
  log_group_name = var.dns_log_group_name
  pattern        = "{ $.firewall_rule_action = \"BLOCK\" }"

  metric_transformation {
    namespace = "Trace/${var.environment}"
    name      = "NamesRefused"
    value     = "1"
  }
}

# Less is bad here.
resource "aws_cloudwatch_metric_alarm" "storage" {
  for_each = var.databases

  alarm_name          = "${var.name}-database-storage-${each.key}"
  alarm_description   = "Less than 5 GiB are free on the ${each.key} database; PostgreSQL stops when none is"
  namespace           = "AWS/RDS"
  metric_name         = "FreeStorageSpace"
  dimensions          = { DBInstanceIdentifier = each.value.identifier }
  statistic           = "Minimum"
  period              = 300
  evaluation_periods  = 1
  comparison_operator = "LessThanThreshold"
  threshold           = 5 * 1024 * 1024 * 1024
  treat_missing_data  = "missing"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_budgets_budget" "month" {
  name         = var.name
  budget_type  = "COST"
  time_unit    = "MONTHLY"
  limit_unit   = "USD"
  limit_amount = tostring(var.budget_usd)

  cost_filter {
    name   = "TagKeyValue"
    values = ["user:Environment$${var.environment}"]
  }

  dynamic "notification" {
    for_each = { actual = { type = "ACTUAL", at = 80 }, forecast = { type = "FORECASTED", at = 100 } }

    content {
      notification_type         = notification.value.type
      threshold                 = notification.value.at
      threshold_type            = "PERCENTAGE"
      comparison_operator       = "GREATER_THAN"
      subscriber_sns_topic_arns = [aws_sns_topic.alarms.arn]
    }
  }
}
