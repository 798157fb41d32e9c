# Where checkouts come in: TLS ends here, and every zone's scorers are behind it.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-balancer"
  description = "Balancer: HTTPS from anywhere, on to the scorers"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "https" {
  security_group_id = aws_security_group.this.id
  description       = "Checkouts, and Route 53's checkers, which cannot probe a private address"
  cidr_ipv4         = "0.0.0.0/0"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}

resource "aws_vpc_security_group_egress_rule" "scorers" {
  security_group_id            = aws_security_group.this.id
  description                  = "Scorers"
  referenced_security_group_id = var.hosts_group
  ip_protocol                  = "tcp"
  from_port                    = var.port
  to_port                      = var.port
}

resource "aws_lb" "this" {
  # checkov:skip=CKV2_AWS_76:AWSManagedRulesKnownBadInputsRuleSet is among the managed rules of firewall.tf
  name               = var.name
  load_balancer_type = "application"
  internal           = false
  subnets            = var.subnet_ids
  security_groups    = [aws_security_group.this.id]

  idle_timeout                     = var.idle_timeout_s
  drop_invalid_header_fields       = true
  enable_cross_zone_load_balancing = true
  enable_deletion_protection       = var.deletion_protection
  # A firewall that is down must not stop payments: the service refuses what it must by itself.
  enable_waf_fail_open = true

  access_logs {
    bucket  = var.log_bucket
    prefix  = "balancer"
    enabled = true
  }
}

resource "aws_lb_target_group" "scorers" {
  name                 = var.name
  vpc_id               = var.vpc_id
  target_type          = "instance"
  protocol             = "HTTPS" # with a certificate of the host's own, which nobody verifies
  port                 = var.port
  deregistration_delay = var.deregistration_delay_s
  # The fewest requests under way: a host that stalls gets no more of them.
  load_balancing_algorithm_type = "least_outstanding_requests"

  # Ready is whoever answers with any rung, so a dead datastore takes no host out. When every
  # host looks bad the balancer sends to all, as it does by itself.
  health_check {
    protocol            = "HTTPS"
    path                = "/readyz"
    matcher             = "200"
    interval            = 5
    timeout             = 2
    healthy_threshold   = 2
    unhealthy_threshold = 2
  }
}

resource "aws_lb_listener" "https" {
  load_balancer_arn = aws_lb.this.arn
  port              = 443
  protocol          = "HTTPS"
  ssl_policy        = "ELBSecurityPolicy-TLS13-1-2-2021-06"
  certificate_arn   = aws_acm_certificate_validation.this.certificate_arn

  default_action {
    type             = "forward"
    target_group_arn = aws_lb_target_group.scorers.arn
  }
}

# Operations are for people inside: metrics name merchants' tiers and the fleet's budgets.
resource "aws_lb_listener_rule" "not_metrics" {
  listener_arn = aws_lb_listener.https.arn
  priority     = 10

  action {
    type = "fixed-response"
    fixed_response {
      content_type = "text/plain"
      status_code  = "404"
    }
  }

  condition {
    path_pattern {
      values = ["/metrics", "/console", "/console/*"]
    }
  }
}

# One certificate for the region's own name and for the name that all regions share.
resource "aws_acm_certificate" "this" {
  domain_name               = var.endpoint
  subject_alternative_names = [var.shared_name]
  validation_method         = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

# That of the shared name is the same record for every region, and so the global root's.
resource "aws_route53_record" "proof" {
  zone_id = var.zone_id
  ttl     = 300
  name    = local.proofs[var.endpoint].resource_record_name
  type    = local.proofs[var.endpoint].resource_record_type
  records = [local.proofs[var.endpoint].resource_record_value]
}

locals {
  proofs = { for one in aws_acm_certificate.this.domain_validation_options : one.domain_name => one }
}

resource "aws_acm_certificate_validation" "this" {
  certificate_arn = aws_acm_certificate.this.arn
  depends_on      = [aws_route53_record.proof]
}
