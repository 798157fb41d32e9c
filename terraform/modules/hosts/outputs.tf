output "groups" {
  description = "Name of the autoscaling group by zone."
  value       = { for zone, group in aws_autoscaling_group.this : zone => group.name }
}

output "numbers" {
  description = "Of the hosts, by volume."
  value       = { for slot, one in local.slots : slot => one.number }
}

output "capacity_providers" {
  description = "For the cluster to know of."
  value       = [for provider in aws_ecs_capacity_provider.this : provider.name]
}
