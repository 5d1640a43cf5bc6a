# The public door: TLS, a web application firewall, and two paths. Everything else is answered 404 here, so that
# the task and worker APIs can't be asked for from outside, whatever the services would say.
#
# The users' tokens are verified by the dispatcher and the query service themselves, on every request; nothing that
# the load balancer adds to a request is believed. The firewall turns away what has no token at all (waf.tf).

resource "aws_lb" "this" {
  #checkov:skip=CKV2_AWS_76:AWSManagedRulesKnownBadInputsRuleSet is attached; its rules on bodies only count (waf.tf)
  #checkov:skip=CKV_AWS_150:deletion protection is a setting; prod and staging have it, and a test asserts it of prod
  #checkov:skip=CKV2_AWS_20:there is no listener for plain HTTP to redirect from; the security group admits 443 alone
  name               = var.name
  load_balancer_type = "application"
  internal           = false
  subnets            = var.subnet_ids
  security_groups    = [var.group_id]

  drop_invalid_header_fields = true
  desync_mitigation_mode     = "strictest"
  enable_deletion_protection = var.deletion_protection
  enable_waf_fail_open       = false
  # The longest wait of the users' API is 30 s (`limit::WAIT_MS`); uploads of a GiB send all the time.
  idle_timeout = 60

  access_logs {
    bucket  = var.logs_bucket
    prefix  = "edge"
    enabled = true
  }
}

resource "aws_lb_target_group" "this" {
  for_each = var.targets

  #checkov:skip=CKV_AWS_378:TLS is a setting (`backend_protocol`), for the time when the services' listeners have it
  name                          = "${var.name}-${each.key}"
  vpc_id                        = var.vpc_id
  target_type                   = "ip"
  port                          = each.value
  protocol                      = var.backend_protocol
  load_balancing_algorithm_type = "least_outstanding_requests"
  deregistration_delay          = 15

  health_check {
    protocol            = var.backend_protocol
    path                = "/readyz"
    matcher             = "200-204"
    interval            = 10
    timeout             = 5
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = var.certificate_arn

  default_action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      status_code  = "404"
    }
  }
}

# `/v1/task` is for tasks, by the private address. A rule of its own keeps it out of `/v1/*`.
resource "aws_lb_listener_rule" "not_for_users" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 10

  condition {
    path_pattern { values = ["/v1/task", "/v1/task/*", "/internal", "/internal/*"] }
  }

  action {
    type = "fixed-response"

    fixed_response {
      content_type = "text/plain"
      status_code  = "404"
    }
  }
}

resource "aws_lb_listener_rule" "query" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 20

  condition {
    path_pattern { values = ["/v1/query"] }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this["query"].arn
  }
}

resource "aws_lb_listener_rule" "users" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 30

  condition {
    path_pattern { values = ["/v1/*"] }
  }

  action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.this["dispatcher"].arn
  }
}

resource "aws_route53_record" "this" {
  count = var.zone_id == null ? 0 : 1

  zone_id = var.zone_id
  name    = var.domain
  type    = "A"

  alias {
    name                   = aws_lb.this.dns_name
    zone_id                = aws_lb.this.zone_id
    evaluate_target_health = true
  }
}
