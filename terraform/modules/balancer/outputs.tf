output "dns_name" {
  description = "AWS's name of the balancer."
  value       = aws_lb.this.dns_name
}

output "zone_id" {
  description = "AWS's zone of that name, for alias records."
  value       = aws_lb.this.zone_id
}

output "metric_name" {
  description = "Of the balancer, as a dimension."
  value       = aws_lb.this.arn_suffix
}

output "target_group_arn" {
  description = "Of the scorers; known once requests are sent there."
  value       = aws_lb_target_group.scorers.arn
  depends_on  = [aws_lb_listener.https]
}

output "security_group" {
  description = "Of the balancer."
  value       = aws_security_group.this.id
}

output "timings" {
  description = "What the scorers' own timings have to go with."
  value = {
    idle_timeout_s         = aws_lb.this.idle_timeout
    deregistration_delay_s = tonumber(aws_lb_target_group.scorers.deregistration_delay)
    health_interval_s      = aws_lb_target_group.scorers.health_check[0].interval
    unhealthy_threshold    = aws_lb_target_group.scorers.health_check[0].unhealthy_threshold
  }
}
