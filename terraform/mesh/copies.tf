# Copies of other regions' counters, read here and written at home. A copy that is cut off goes on
# answering with what it has, and its age tells.

data "aws_security_groups" "stores" {
  filter {
    name   = "group-name"
    values = ["${var.name}-${local.here.number}-store"]
  }
}

data "aws_kms_alias" "here" {
  name = "alias/${var.name}"
}

resource "aws_elasticache_replication_group" "copy" {
  # checkov:skip=CKV_AWS_29:Taken from the global group; the provider refuses it on a copy
  # checkov:skip=CKV_AWS_30:Taken from the global group; the provider refuses it on a copy
  # checkov:skip=CKV_AWS_31:Taken from the global group; the provider refuses it on a copy
  # checkov:skip=CKV2_AWS_50:With one node there is none to fail over to; its primary has what it has
  for_each                    = local.copies
  replication_group_id        = each.value.name
  description                 = "Copy of ${each.value.source}, shard ${each.value.shard}, for ${var.region}"
  global_replication_group_id = each.value.group

  # Engine, version, node type, parameters and encryption in transit are the global group's: said
  # here, the provider would plan valkey -> redis and replace the copy, or the API refuse them.
  num_cache_clusters         = var.copy_nodes
  automatic_failover_enabled = var.copy_nodes > 1
  multi_az_enabled           = var.copy_nodes > 1
  port                       = 6379

  subnet_group_name  = "${var.name}-${local.here.number}"
  security_group_ids = data.aws_security_groups.stores.ids
  kms_key_id         = data.aws_kms_alias.here.target_key_arn
  user_group_ids     = [var.name] # this region's users and password

  lifecycle {
    # The last of them changes by a promotion, which is the runbook's and not Terraform's.
    ignore_changes = [
      engine, engine_version, node_type, num_node_groups, parameter_group_name,
      auto_minor_version_upgrade, global_replication_group_id,
    ]
  }
}
