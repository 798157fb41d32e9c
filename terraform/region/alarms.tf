# The objective is answers: 99.99 % of payment attempts, in a month. What is stepped down is
# answered, and tells by its own objective.

locals {
  # Budget burnt so many times too fast, over a long window and a short one: the long one says that
  # it matters, the short one that it still goes on.
  windows = {
    fast = { burn = 14.4, long_s = 3600, short_s = 300 }
    slow = { burn = 6, long_s = 21600, short_s = 1800 }
    days = { burn = 3, long_s = 86400, short_s = 7200 }
  }
  objectives = {
    # Answers that are not an error of the balancer's or a scorer's.
    answered = {
      budget = 0.0001
      bad    = { namespace = "AWS/ApplicationELB", dimensions = { LoadBalancer = module.balancer.metric_name }, names = ["HTTPCode_ELB_5XX_Count", "HTTPCode_Target_5XX_Count"] }
      all    = { namespace = "AWS/ApplicationELB", dimensions = { LoadBalancer = module.balancer.metric_name }, names = ["RequestCount"] }
    }
    # Answers of a rung above the rules: what is below costs money by the minute.
    scored = {
      budget = 0.01
      bad    = { namespace = "Stepdown", dimensions = { Service = var.name }, names = ["rules", "tier_default"] }
      all    = { namespace = "Stepdown", dimensions = { Service = var.name }, names = ["full", "batch", "rules", "tier_default"] }
    }
  }

  burns = merge(flatten([
    for objective, how in local.objectives : [
      for window, rate in local.windows : [
        for length in ["long", "short"] : {
          "${objective}-${window}-${length}" = {
            objective = objective
            burn      = rate.burn
            seconds   = length == "long" ? rate.long_s : rate.short_s
            limit     = rate.burn * how.budget
          }
        }
      ]
    ]
  ])...)
}

resource "aws_cloudwatch_metric_alarm" "burn" {
  for_each            = local.burns
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = "Budget of '${each.value.objective}' burns ${each.value.burn} times too fast over ${each.value.seconds} s."
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.limit
  evaluation_periods  = 1
  treat_missing_data  = "notBreaching" # no traffic burns nothing

  metric_query {
    id          = "burn"
    expression  = "(${join("+", [for index, _ in local.objectives[each.value.objective].bad.names : "FILL(b${index}, 0)"])}) / (${join("+", [for index, _ in local.objectives[each.value.objective].all.names : "FILL(a${index}, 0)"])})"
    label       = each.value.objective
    return_data = true
  }

  dynamic "metric_query" {
    for_each = merge(
      { for index, name in local.objectives[each.value.objective].bad.names : "b${index}" => { name = name, of = local.objectives[each.value.objective].bad } },
      { for index, name in local.objectives[each.value.objective].all.names : "a${index}" => { name = name, of = local.objectives[each.value.objective].all } },
    )
    content {
      id = metric_query.key
      metric {
        namespace = metric_query.value.of.namespace
        # The service has one metric, by rung; the balancer has one a kind of answer.
        metric_name = metric_query.value.of.namespace == "Stepdown" ? "stepdown_decisions_total" : metric_query.value.name
        dimensions  = metric_query.value.of.namespace == "Stepdown" ? merge(metric_query.value.of.dimensions, { rung = metric_query.value.name }) : metric_query.value.of.dimensions
        stat        = "Sum"
        period      = each.value.seconds
      }
    }
  }
}

resource "aws_cloudwatch_composite_alarm" "burn" {
  for_each          = { for pair in setproduct(keys(local.objectives), keys(local.windows)) : join("-", pair) => pair }
  alarm_name        = "${var.name}-${each.key}"
  alarm_description = "The budget of '${each.value[0]}' burns ${local.windows[each.value[1]].burn} times too fast: docs/runbooks/status.md."
  alarm_rule        = "ALARM(\"${aws_cloudwatch_metric_alarm.burn["${each.key}-long"].alarm_name}\") AND ALARM(\"${aws_cloudwatch_metric_alarm.burn["${each.key}-short"].alarm_name}\")"
  alarm_actions     = [aws_sns_topic.alarms.arn]
  ok_actions        = [aws_sns_topic.alarms.arn]
}

# What pages by itself, since no objective shows it in time.
locals {
  watched = {
    bug     = { metric = "stepdown_bugs_total", stat = "Sum", above = 0, why = "An exception that nobody expected." }
    record  = { metric = "stepdown_journal_missing_total", stat = "Sum", above = 0, why = "Decisions were answered without a record." }
    shipper = { metric = "stepdown_shipper_backlog_seconds", stat = "Maximum", above = 300, why = "Events have not reached the stream for five minutes." }
    left    = { metric = "stepdown_shipper_left_segments", stat = "Maximum", above = 0, why = "Journal segments that somebody has to look at." }
    client  = { metric = "stepdown_client_defaults_total", stat = "Sum", above = 0, why = "Clients decided by themselves: no region answered them." }
  }
}

resource "aws_cloudwatch_metric_alarm" "watched" {
  for_each            = local.watched
  alarm_name          = "${var.name}-${each.key}"
  alarm_description   = each.value.why
  namespace           = "Stepdown"
  metric_name         = each.value.metric
  dimensions          = { Service = var.name }
  statistic           = each.value.stat
  period              = 60
  evaluation_periods  = 3
  datapoints_to_alarm = 2
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.above
  treat_missing_data  = "notBreaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

# Memory of the counters: nothing is evicted, so a full store refuses writes.
resource "aws_cloudwatch_metric_alarm" "memory" {
  for_each            = toset(module.store.replication_group_ids)
  alarm_name          = "${var.name}-memory-${each.key}"
  alarm_description   = "The counters fill their nodes: take a larger node type, or another shard."
  namespace           = "AWS/ElastiCache"
  metric_name         = "DatabaseMemoryUsagePercentage"
  dimensions          = { CacheClusterId = "${each.key}-001" }
  statistic           = "Maximum"
  period              = 300
  evaluation_periods  = 3
  comparison_operator = "GreaterThanThreshold"
  threshold           = 75 # store_memory of terraform/prices.toml
  treat_missing_data  = "breaching"
  alarm_actions       = [aws_sns_topic.alarms.arn]
  ok_actions          = [aws_sns_topic.alarms.arn]
}

resource "aws_sns_topic" "alarms" {
  name              = "${var.name}-alarms"
  kms_master_key_id = aws_kms_key.this.arn
}

resource "aws_sns_topic_subscription" "alarms" {
  topic_arn = aws_sns_topic.alarms.arn
  protocol  = "email"
  endpoint  = var.alarm_address
}
