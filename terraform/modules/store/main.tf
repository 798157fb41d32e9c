# A region's own counters: one replication group a shard, without cluster mode, so that a read is
# one MGET a shard. Written by this region's applier, copied to the others by the mesh root.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

locals {
  shards = { for shard in range(var.shards) : tostring(shard) => "${var.name}-${shard}" }
  global = var.replicated ? local.shards : {}
}

resource "aws_elasticache_subnet_group" "this" {
  name       = var.name
  subnet_ids = var.subnet_ids
}

# As the embedded servers are configured (regions/world/servers.py).
resource "aws_elasticache_parameter_group" "this" {
  name   = "${var.name}-${var.family}"
  family = var.family

  # A counter must never be evicted: wrong is worse than refused.
  parameter {
    name  = "maxmemory-policy"
    value = "noeviction"
  }
  # What a copy may miss without copying everything anew.
  parameter {
    name  = "repl-backlog-size"
    value = "33554432"
  }

  lifecycle {
    create_before_destroy = true # an engine upgrade needs the next family's beside it
  }
}

resource "aws_elasticache_replication_group" "this" {
  # checkov:skip=CKV2_AWS_50:On, since the region root refuses fewer than two nodes
  for_each             = local.shards
  replication_group_id = each.value
  description          = "Counters of ${var.region}, shard ${each.key}"

  engine               = "valkey"
  engine_version       = var.engine_version
  node_type            = var.node_type
  num_cache_clusters   = var.nodes
  parameter_group_name = aws_elasticache_parameter_group.this.name
  port                 = 6379

  automatic_failover_enabled = var.nodes > 1
  multi_az_enabled           = var.nodes > 1
  # An upgrade in the middle of a night is an outage that nobody chose.
  auto_minor_version_upgrade = false
  apply_immediately          = false

  subnet_group_name          = aws_elasticache_subnet_group.this.name
  security_group_ids         = [aws_security_group.this.id]
  at_rest_encryption_enabled = true
  kms_key_id                 = var.key_arn
  transit_encryption_enabled = true
  transit_encryption_mode    = "required"
  user_group_ids             = [var.user_group_id]

  # What is lost for good is built anew from the last of these and the stream.
  snapshot_retention_limit  = var.snapshot_days
  snapshot_window           = "03:00-05:00"
  final_snapshot_identifier = var.deletion_protection ? "${each.value}-last" : null

  lifecycle {
    # A member of a global datastore takes these from the global group, and refuses them itself:
    # engine and version are upgraded there, and so is the node type. The provider also sees a
    # promotion as a change of the member's global id.
    ignore_changes = [
      engine, engine_version, node_type, num_node_groups, parameter_group_name,
      auto_minor_version_upgrade, global_replication_group_id,
    ]
  }
}

resource "aws_elasticache_global_replication_group" "this" {
  for_each                             = local.global
  global_replication_group_id_suffix   = each.value
  global_replication_group_description = "Counters of ${var.region}, shard ${each.key}, and their copies"
  primary_replication_group_id         = aws_elasticache_replication_group.this[each.key].id

  # Engine and node type of all members are changed here, and nowhere else.
  engine_version  = var.engine_version
  cache_node_type = var.node_type

  lifecycle {
    # After a promotion the plan would replace the group, and with it every copy. Nothing here is
    # promoted by Terraform: docs/runbooks/terraform.md.
    ignore_changes = [primary_replication_group_id]
  }
}

resource "aws_security_group" "this" {
  name        = "${var.name}-store"
  description = "Datastores: from hosts only, no way out"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "hosts" {
  security_group_id            = aws_security_group.this.id
  description                  = "Valkey over TLS, from hosts"
  referenced_security_group_id = var.hosts_group
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
}
