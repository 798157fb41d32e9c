# The records in it belong to the regions: each applies its own.
resource "aws_route53_zone" "this" {
  name    = var.domain
  comment = "Endpoints of ${var.name}"
}
