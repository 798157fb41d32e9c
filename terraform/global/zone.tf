# The records in it belong to the regions: each applies its own.
resource "aws_route53_zone" "this" {
  # checkov:skip=CKV2_AWS_38:The key that signs a zone has to be in us-east-1; losing that region must not stop answers
  # checkov:skip=CKV2_AWS_39:Query logs have to be in us-east-1; resolvers near merchants tell nothing of a payment
  name    = var.domain
  comment = "Endpoints of ${var.name}"
}
