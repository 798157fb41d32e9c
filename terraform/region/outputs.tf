output "settings" {
  description = "STEPDOWN_* variables of every program of the region."
  value       = local.settings
}

output "programs" {
  description = "What runs: module with its arguments, where, seconds from SIGTERM to SIGKILL."
  value       = module.programs.programs
}

output "host_numbers" {
  description = "Of every host that may be, by kind and volume; journals are told apart by them."
  value = {
    scorer  = module.scorer_hosts.numbers
    applier = module.applier_hosts.numbers
  }
}

output "timings" {
  description = "Of the balancer, which the programs' own have to go with."
  value       = module.balancer.timings
}

output "global_groups" {
  description = "Global groups of the region's counters, shard 0 first: for the mesh root of the regions that read them."
  value       = module.store.global_groups
}

output "data" {
  description = "Names of what holds data: stream, and buckets of record, anchors and what is published."
  value = {
    stream  = aws_kinesis_stream.this.name
    record  = module.record.name
    anchors = module.anchors.name
    models  = module.models.name
  }
}

output "shared_endpoint" {
  description = "Where clients reach the nearest region."
  value       = "https://${local.shared_name}"
}

output "endpoint" {
  description = "Where clients reach the region."
  value       = "https://${local.here.endpoint}"
}

output "experiments" {
  description = "Templates of fault experiments, by name: id and action; and the drills' actions without one, with the reason."
  value = {
    templates = { for name, one in aws_fis_experiment_template.this : name => { id = one.id, action = local.experiments[name].action.id, stops = [for condition in one.stop_condition : condition.source] } }
    without   = local.without_experiment
  }
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
