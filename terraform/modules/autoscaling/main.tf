# Workers follow the queue, from none. An empty queue costs no worker at all; the first message starts one in the
# time that Fargate takes (about a minute, not measured by us), which is the price of idling at nothing.

locals {
  resource = "service/${var.cluster}/${var.service}"
}

resource "aws_appautoscaling_target" "worker" {
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = local.resource
  min_capacity       = 0
  max_capacity       = var.max_workers
}

resource "aws_appautoscaling_policy" "out" {
  name               = "${var.name}-worker-out"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  # Steps are in messages above the alarm's threshold of 1; every minute that messages wait adds workers again.
  step_scaling_policy_configuration {
    adjustment_type         = "ChangeInCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    dynamic "step_adjustment" {
      for_each = local.steps

      content {
        metric_interval_lower_bound = step_adjustment.value.from
        metric_interval_upper_bound = step_adjustment.value.to
        scaling_adjustment          = step_adjustment.value.workers
      }
    }
  }
}

locals {
  # A message carries up to a batch of tasks: one worker for the first, then a share of the most.
  steps = [
    { from = 0, to = 10, workers = 1 },
    { from = 10, to = 100, workers = max(1, ceil(var.max_workers / 4)) },
    { from = 100, to = 1000, workers = max(1, ceil(var.max_workers / 2)) },
    { from = 1000, to = null, workers = var.max_workers },
  ]
}

resource "aws_appautoscaling_policy" "in" {
  name               = "${var.name}-worker-in"
  policy_type        = "StepScaling"
  service_namespace  = aws_appautoscaling_target.worker.service_namespace
  scalable_dimension = aws_appautoscaling_target.worker.scalable_dimension
  resource_id        = aws_appautoscaling_target.worker.resource_id

  step_scaling_policy_configuration {
    adjustment_type         = "ExactCapacity"
    metric_aggregation_type = "Maximum"
    cooldown                = 60

    step_adjustment {
      metric_interval_upper_bound = 0
      scaling_adjustment          = 0
    }
  }
}

# Messages of all runtimes together. A queue that nobody uses stops reporting: nothing is as good as none.
resource "aws_cloudwatch_metric_alarm" "waiting" {
  alarm_name          = "${var.name}-work-waits"
  alarm_description   = "Tasks wait: start workers"
  comparison_operator = "GreaterThanOrEqualToThreshold"
  threshold           = 1
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_appautoscaling_policy.out.arn]

  dynamic "metric_query" {
    for_each = local.metrics

    content {
      id          = metric_query.value.id
      return_data = false

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value.metric
        dimensions  = { QueueName = metric_query.value.queue }
        period      = 60
        stat        = "Maximum"
      }
    }
  }

  metric_query {
    id          = "messages"
    label       = "messages that wait"
    expression  = join(" + ", [for metric in local.metrics : "FILL(${metric.id}, 0)" if metric.metric == "ApproximateNumberOfMessagesVisible"])
    return_data = true
  }
}

# Quiet for a while: workers that still run something drain (SIGTERM), and what they give back uses up no retry.
resource "aws_cloudwatch_metric_alarm" "quiet" {
  alarm_name          = "${var.name}-no-work"
  alarm_description   = "Nothing waited for ${var.quiet_minutes} minutes: stop workers"
  comparison_operator = "LessThanThreshold"
  threshold           = 1
  evaluation_periods  = var.quiet_minutes
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_appautoscaling_policy.in.arn]

  dynamic "metric_query" {
    for_each = local.metrics

    content {
      id          = metric_query.value.id
      return_data = false

      metric {
        namespace   = "AWS/SQS"
        metric_name = metric_query.value.metric
        dimensions  = { QueueName = metric_query.value.queue }
        period      = 60
        stat        = "Maximum"
      }
    }
  }

  metric_query {
    id          = "messages"
    label       = "messages that wait or are held"
    expression  = join(" + ", [for metric in local.metrics : "FILL(${metric.id}, 0)"])
    return_data = true
  }
}

locals {
  metrics = flatten([for runtime, queue in var.wakeups : [
    { id = "visible_${runtime}", metric = "ApproximateNumberOfMessagesVisible", queue = queue.name },
    { id = "held_${runtime}", metric = "ApproximateNumberOfMessagesNotVisible", queue = queue.name },
  ]])
}
