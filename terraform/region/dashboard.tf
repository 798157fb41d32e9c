locals {
  charts = [
    { title = "Answers by rung", metrics = [for rung in ["full", "batch", "rules", "tier_default"] : ["Stepdown", "stepdown_decisions_total", "Service", var.name, "rung", rung]], stat = "Sum" },
    { title = "Errors and requests", metrics = [for name in ["RequestCount", "HTTPCode_ELB_5XX_Count", "HTTPCode_Target_5XX_Count"] : ["AWS/ApplicationELB", name, "LoadBalancer", module.balancer.metric_name]], stat = "Sum" },
    { title = "p99 at the balancer, seconds", metrics = [["AWS/ApplicationELB", "TargetResponseTime", "LoadBalancer", module.balancer.metric_name]], stat = "p99" },
    { title = "Pressure: share that starts from the last rung", metrics = [["Stepdown", "stepdown_pressure_depth", "Service", var.name]], stat = "Average" },
    { title = "Counters readable, by home region", metrics = [for source in local.here.sources : ["Stepdown", "stepdown_source_available", "Service", var.name, "region", source]], stat = "Minimum" },
    { title = "Not yet on the stream, seconds", metrics = [["Stepdown", "stepdown_shipper_backlog_seconds", "Service", var.name]], stat = "Maximum" },
    { title = "Stream's oldest unread event, ms", metrics = [["AWS/Kinesis", "GetRecords.IteratorAgeMilliseconds", "StreamName", aws_kinesis_stream.this.name]], stat = "Maximum" },
    { title = "Memory of the counters, %", metrics = [for id in module.store.replication_group_ids : ["AWS/ElastiCache", "DatabaseMemoryUsagePercentage", "CacheClusterId", "${id}-001"]], stat = "Maximum" },
  ]
}

resource "aws_cloudwatch_dashboard" "this" {
  dashboard_name = var.name
  dashboard_body = jsonencode({
    widgets = [
      for index, chart in local.charts : {
        type   = "metric"
        x      = 12 * (index % 2)
        y      = 6 * floor(index / 2)
        width  = 12
        height = 6
        properties = {
          title   = chart.title
          region  = var.region
          period  = 60
          stat    = chart.stat
          view    = "timeSeries"
          metrics = chart.metrics
        }
      }
    ]
  })
}
