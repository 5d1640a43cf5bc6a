# A wake-up queue for each runtime. A message names tasks and nothing else; the task's row in PostgreSQL is the
# truth, so that a lost message costs a sweep and a repeated one nothing.

resource "aws_sqs_queue" "wakeups" {
  for_each = var.runtimes

  name                      = "${var.name}-wakeups-${each.key}"
  kms_master_key_id         = var.key_arn
  message_retention_seconds = 3600 * 24
  receive_wait_time_seconds = 20
  # A wrapper deletes a message once its claim has answered, which takes less than a second: SQS's visibility is
  # no second lease, only the time until another wrapper may try.
  visibility_timeout_seconds = 30

  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead[each.key].arn
    # A message names up to ten tasks, and each wrapper takes what it has slots for: it may go to many in turn.
    maxReceiveCount = 50
  })
}

# What could not be parsed or claimed. An alarm watches it; the tasks themselves are woken again by the sweep.
resource "aws_sqs_queue" "dead" {
  for_each = var.runtimes

  name                      = "${var.name}-dead-${each.key}"
  kms_master_key_id         = var.key_arn
  message_retention_seconds = 3600 * 24 * 14
}

resource "aws_sqs_queue_redrive_allow_policy" "dead" {
  for_each = var.runtimes

  queue_url = aws_sqs_queue.dead[each.key].id

  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = [aws_sqs_queue.wakeups[each.key].arn]
  })
}

resource "aws_sqs_queue_policy" "this" {
  for_each = merge(
    { for runtime, queue in aws_sqs_queue.wakeups : "wakeups-${runtime}" => queue },
    { for runtime, queue in aws_sqs_queue.dead : "dead-${runtime}" => queue },
  )

  queue_url = each.value.id

  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      {
        Sid       = "TlsOnly"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = each.value.arn
        Condition = { Bool = { "aws:SecureTransport" = "false" } }
      },
      {
        Sid       = "OtherAccounts"
        Effect    = "Deny"
        Principal = "*"
        Action    = "sqs:*"
        Resource  = each.value.arn
        Condition = {
          StringNotEquals = { "aws:PrincipalAccount" = var.account_id }
          BoolIfExists    = { "aws:PrincipalIsAWSService" = "false" }
        }
      },
    ]
  })
}
