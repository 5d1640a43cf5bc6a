# What never reaches the services. Bodies are DAG YAML, SQL and bundles, which the services parse as untrusted and
# which look like attacks to a rule made for web forms: rules on bodies only count.

locals {
  body_rules = ["SizeRestrictions_BODY", "CrossSiteScripting_BODY", "GenericLFI_BODY", "GenericRFI_BODY", "EC2MetaDataSSRF_BODY"]

  managed = {
    reputation = { priority = 20, rules = "AWSManagedRulesAmazonIpReputationList", count = [] }
    known_bad  = { priority = 30, rules = "AWSManagedRulesKnownBadInputsRuleSet", count = ["JavaDeserializationRCE_BODY", "Log4JRCE_BODY"] }
    common     = { priority = 40, rules = "AWSManagedRulesCommonRuleSet", count = concat(local.body_rules, ["NoUserAgent_HEADER"]) }
  }
}

resource "aws_wafv2_web_acl" "this" {
  #checkov:skip=CKV_AWS_192:AWSManagedRulesKnownBadInputsRuleSet is in, for headers and addresses; bodies only count, see above
  name        = var.name
  description = "The public edge of Trace"
  scope       = "REGIONAL"

  default_action {
    allow {}
  }

  # A token has three parts of base64url behind `Bearer`. What has none is turned away before it costs a service
  # anything. Whether it is a good token is for the service to say: it alone knows keys, issuer, audience and time.
  rule {
    name     = "no-token"
    priority = 0

    action {
      block {
        custom_response {
          response_code = 401
        }
      }
    }

    statement {
      not_statement {
        statement {
          regex_match_statement {
            regex_string = "^[Bb]earer [A-Za-z0-9_-]{10,}[.][A-Za-z0-9_-]{10,}[.][A-Za-z0-9_-]{10,}$"

            field_to_match {
              single_header { name = "authorization" }
            }

            text_transformation {
              priority = 0
              type     = "NONE"
            }
          }
        }
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-no-token"
      sampled_requests_enabled   = false
    }
  }

  rule {
    name     = "rate-by-address"
    priority = 10

    action {
      block {
        custom_response {
          response_code = 429
        }
      }
    }

    statement {
      rate_based_statement {
        limit                 = var.requests_per_5_minutes
        evaluation_window_sec = 300
        aggregate_key_type    = "IP"
      }
    }

    visibility_config {
      cloudwatch_metrics_enabled = true
      metric_name                = "${var.name}-rate"
      sampled_requests_enabled   = false
    }
  }

  dynamic "rule" {
    for_each = local.managed

    content {
      name     = rule.key
      priority = rule.value.priority

      override_action {
        none {}
      }

      statement {
        managed_rule_group_statement {
          vendor_name = "AWS"
          name        = rule.value.rules

          dynamic "rule_action_override" {
            for_each = rule.value.count

            content {
              name = rule_action_override.value

              action_to_use {
                count {}
              }
            }
          }
        }
      }

      # Samples would keep headers, and a header holds the token.
      visibility_config {
        cloudwatch_metrics_enabled = true
        metric_name                = "${var.name}-${rule.key}"
        sampled_requests_enabled   = false
      }
    }
  }

  visibility_config {
    cloudwatch_metrics_enabled = true
    metric_name                = var.name
    sampled_requests_enabled   = false
  }
}

resource "aws_wafv2_web_acl_association" "this" {
  resource_arn = aws_lb.this.arn
  web_acl_arn  = aws_wafv2_web_acl.this.arn
}

resource "aws_wafv2_web_acl_logging_configuration" "this" {
  resource_arn            = aws_wafv2_web_acl.this.arn
  log_destination_configs = [var.waf_log_group_arn]

  redacted_fields {
    single_header { name = "authorization" }
  }

  redacted_fields {
    query_string {}
  }
}
