# The region's own latency record, behind health checks that are made now and never changed:
# evacuating writes one object (regions/routing/route53.py), which needs no control plane.

data "aws_route53_zone" "this" {
  name = var.domain
}

resource "aws_route53_record" "own" {
  zone_id = data.aws_route53_zone.this.zone_id
  name    = local.here.endpoint
  type    = "A"

  alias {
    name    = module.balancer.dns_name
    zone_id = module.balancer.zone_id
    # Whoever names a region means it: clients that fail over by themselves know best.
    evaluate_target_health = false
  }
}

# An alias to a balancer has a TTL of 60 s, always. Detection and that make 80 to 90 s, which no
# checkout can wait for: the client library goes to another region by itself.
resource "aws_route53_record" "shared" {
  zone_id         = data.aws_route53_zone.this.zone_id
  name            = local.shared_name
  type            = "A"
  set_identifier  = var.region
  health_check_id = aws_route53_health_check.region.id

  latency_routing_policy {
    region = var.region
  }

  alias {
    name                   = module.balancer.dns_name
    zone_id                = module.balancer.zone_id
    evaluate_target_health = false # a balancer without healthy hosts sends to all; the checks decide
  }
}

resource "aws_route53_health_check" "endpoint" {
  reference_name    = "${var.name}-${local.here.number}-api"
  type              = "HTTPS"
  fqdn              = local.here.endpoint
  port              = 443
  resource_path     = "/readyz"
  enable_sni        = true
  request_interval  = 10
  failure_threshold = 3
  tags              = { Name = "${var.name} ${var.region} answers" }
}

# Green while the object is not there. A bucket that is away makes it fail, which inverted means in:
# losing the switches takes no region out.
resource "aws_route53_health_check" "switch" {
  reference_name     = "${var.name}-${local.here.number}-switch"
  type               = "HTTPS"
  fqdn               = "${var.name}-${local.account}-switches.s3.${var.control_region}.amazonaws.com"
  port               = 443
  resource_path      = "/out/${var.region}"
  invert_healthcheck = true
  enable_sni         = true
  request_interval   = 10
  failure_threshold  = 3
  tags               = { Name = "${var.name} ${var.region} is in" }
}

resource "aws_route53_health_check" "region" {
  reference_name         = "${var.name}-${local.here.number}-region"
  type                   = "CALCULATED"
  child_health_threshold = 2 # both
  child_healthchecks     = [aws_route53_health_check.endpoint.id, aws_route53_health_check.switch.id]
  tags                   = { Name = "${var.name} ${var.region}" }
}
