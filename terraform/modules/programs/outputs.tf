output "programs" {
  description = "By name: module with its arguments, where it runs, seconds from SIGTERM to SIGKILL."
  value       = local.programs
}

output "cluster_arn" {
  description = "Of the cluster."
  value       = aws_ecs_cluster.this.arn
}

output "cluster_name" {
  description = "Of the cluster."
  value       = aws_ecs_cluster.this.name
}

output "start_role_arn" {
  description = "What ECS starts a task with."
  value       = aws_iam_role.start.arn
}

output "trust" {
  description = "Who may take a program's role."
  value       = data.aws_iam_policy_document.trust.json
}
