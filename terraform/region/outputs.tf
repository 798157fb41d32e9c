output "settings" {
  description = "STEPDOWN_* variables of every program of the region."
  value       = local.settings
}

output "programs" {
  description = "What runs: module with its arguments, where, seconds from SIGTERM to SIGKILL."
  value       = module.programs.programs
}

output "timings" {
  description = "Of the balancer, which the programs' own have to go with."
  value       = module.balancer.timings
}

output "global_groups" {
  description = "Global groups of the region's counters, shard 0 first: for the mesh root of the regions that read them."
  value       = module.store.global_groups
}

output "endpoint" {
  description = "Where clients reach the region."
  value       = "https://${local.here.endpoint}"
}

# What stands all the time, for `stepdown bench estimate`.
output "nodes" {
  description = "Least number of machines by part and type, GB of volumes, stream shards, balancers."
  value = {
    hosts = {
      scorers = { type = var.scorer_host, count = var.scorer_hosts.min * length(local.zones) }
      applier = { type = var.applier_host, count = 2 }
    }
    datastores    = { (var.store_node) = local.here.shards * var.store_nodes }
    volume_gb     = var.volume_gb * (var.scorer_hosts.max * length(local.zones) + 2)
    stream_shards = var.stream_shards
    balancers     = 1
  }
}
