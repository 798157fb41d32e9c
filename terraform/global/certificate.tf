# Proves to ACM, for as long as there is a region, that the name that all regions share is ours. AWS
# asks every region of an account for the same record: were it a region's, destroying that one would
# take it from all others, whose certificates could not be renewed.

resource "aws_acm_certificate" "shared" {
  domain_name       = "decisions.${var.domain}"
  validation_method = "DNS"

  lifecycle {
    create_before_destroy = true
  }
}

resource "aws_route53_record" "shared_proof" {
  zone_id = aws_route53_zone.this.zone_id
  ttl     = 300
  name    = local.shared_proof.resource_record_name
  type    = local.shared_proof.resource_record_type
  records = [local.shared_proof.resource_record_value]
}

locals {
  shared_proof = one(aws_acm_certificate.shared.domain_validation_options)
}
