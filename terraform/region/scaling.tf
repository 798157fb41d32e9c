# More hosts by CPU, and at once when requests start below the top rung for want of time. A zone
# scales as the region does: each has its share of the traffic.

resource "aws_autoscaling_policy" "cpu" {
  for_each               = module.scorer_hosts.groups
  name                   = "cpu"
  autoscaling_group_name = each.value
  policy_type            = "TargetTrackingScaling"

  target_tracking_configuration {
    target_value = 50 # host_use of terraform/prices.toml
    predefined_metric_specification {
      predefined_metric_type = "ASGAverageCPUUtilization"
    }
  }
}

resource "aws_autoscaling_policy" "pressure" {
  for_each                  = module.scorer_hosts.groups
  name                      = "pressure"
  autoscaling_group_name    = each.value
  policy_type               = "StepScaling"
  adjustment_type           = "ChangeInCapacity"
  metric_aggregation_type   = "Average"
  estimated_instance_warmup = 120

  # Share of requests that start from the last rung: from a half on two hosts.
  step_adjustment {
    metric_interval_lower_bound = 0
    metric_interval_upper_bound = 0.4
    scaling_adjustment          = 1
  }
  step_adjustment {
    metric_interval_lower_bound = 0.4
    scaling_adjustment          = 2
  }
}

resource "aws_cloudwatch_metric_alarm" "pressure" {
  alarm_name          = "${var.name}-pressure"
  alarm_description   = "Requests start from the last rung for want of time: more hosts."
  namespace           = "Stepdown"
  metric_name         = "stepdown_pressure_depth"
  dimensions          = { Service = var.name }
  statistic           = "Average"
  period              = 60
  evaluation_periods  = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = 0.1
  treat_missing_data  = "notBreaching"
  alarm_actions       = [for policy in aws_autoscaling_policy.pressure : policy.arn]
}
