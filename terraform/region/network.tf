module "network" {
  source  = "../modules/network"
  name    = var.name
  region  = var.region
  cidr    = "10.${local.here.number}.0.0/16" # a range of its own for each region, for ever
  zones   = local.zones
  key_arn = aws_kms_key.this.arn
}

resource "aws_security_group" "hosts" {
  # checkov:skip=CKV2_AWS_5:Attached by the launch templates of modules/hosts
  name        = "${var.name}-hosts"
  description = "Hosts: from the balancer; to datastores, AWS endpoints and S3, nowhere else"
  vpc_id      = module.network.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "api" {
  security_group_id            = aws_security_group.hosts.id
  description                  = "Decisions, from the balancer"
  referenced_security_group_id = module.balancer.security_group
  ip_protocol                  = "tcp"
  from_port                    = local.api_port
  to_port                      = local.api_port
}

resource "aws_vpc_security_group_egress_rule" "store" {
  security_group_id            = aws_security_group.hosts.id
  description                  = "Datastores"
  referenced_security_group_id = module.store.security_group
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}

resource "aws_vpc_security_group_egress_rule" "endpoints" {
  security_group_id            = aws_security_group.hosts.id
  description                  = "AWS endpoints"
  referenced_security_group_id = module.network.endpoints_group
  ip_protocol                  = "tcp"
  from_port                    = 443
  to_port                      = 443
}

resource "aws_vpc_security_group_egress_rule" "s3" {
  security_group_id = aws_security_group.hosts.id
  description       = "S3"
  prefix_list_id    = module.network.s3_prefix_list
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
}
