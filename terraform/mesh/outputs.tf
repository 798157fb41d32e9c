output "copies" {
  description = "Addresses of the copies: variable copies of the region root."
  value = {
    for source, groups in var.joined : source => join("|", [
      for shard in range(length(groups)) :
      "${aws_elasticache_replication_group.copy["${source}/${shard}"].reader_endpoint_address}:6379"
    ])
  }
}

# What stands all the time, for `stepdown bench estimate`; of the type that the global group has.
output "copy_nodes" {
  description = "Datastore nodes of the copies."
  value       = length(local.copies) * var.copy_nodes
}
