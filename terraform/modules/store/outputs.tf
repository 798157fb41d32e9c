output "addresses" {
  description = "Primaries as the service's settings write them: host:port|host:port, shard 0 first."
  value = join("|", [
    for shard in range(var.shards) :
    "${aws_elasticache_replication_group.this[tostring(shard)].primary_endpoint_address}:6379"
  ])
}

output "global_groups" {
  description = "Ids of the global groups, shard 0 first, which the mesh root joins."
  value       = [for shard in keys(local.global) : aws_elasticache_global_replication_group.this[shard].global_replication_group_id]
}

output "replication_group_ids" {
  description = "Of the shards, for alarms."
  value       = values(local.shards)
}

output "replication_group_arns" {
  description = "Of the shards, for fault experiments."
  value       = [for group in aws_elasticache_replication_group.this : group.arn]
}

output "subnet_group" {
  description = "Where the copies of others go, too."
  value       = aws_elasticache_subnet_group.this.name
}

output "security_group" {
  description = "Of all datastores of the region."
  value       = aws_security_group.this.id
}
