module "store" {
  source              = "../modules/store"
  name                = "${var.name}-${local.here.number}"
  region              = var.region
  shards              = local.here.shards
  replicated          = length(local.here.replicate_to) > 0
  nodes               = var.store_nodes
  node_type           = var.store_node
  engine_version      = var.store_engine.version
  family              = var.store_engine.family
  user_group_id       = aws_elasticache_user_group.this.id
  snapshot_days       = 7
  deletion_protection = var.deletion_protection
  key_arn             = aws_kms_key.this.arn
  vpc_id              = module.network.vpc_id
  subnet_ids          = values(module.network.private_subnets)
  hosts_group         = aws_security_group.hosts.id
}
