# Drills against AWS: the same faults as `stepdown drill run`, where the service runs for real. Each
# stops by itself when the objective's budget burns fast, whoever started it.

locals {
  tagged = { Service = var.name, Region = var.region }

  experiments = {
    # As `drill run kills`: workers, here a whole host with its journal.
    host = {
      description = "One scorer host is ended; its volume goes to the next one"
      action      = { id = "aws:ec2:terminate-instances", target = "Instances", parameters = {} }
      target      = { type = "aws:ec2:instance", mode = "COUNT(1)", arns = [], tags = merge(local.tagged, { Role = "scorer" }) }
    }
    # As `drill run outage` in one zone.
    store = {
      description = "One zone's nodes of the counters lose power"
      action      = { id = "aws:elasticache:replicationgroup-interrupt-az-power", target = "ReplicationGroups", parameters = { duration = "PT10M" } }
      target      = { type = "aws:elasticache:replicationgroup", mode = "ALL", arns = module.store.replication_group_arns, tags = {}, parameters = { availabilityZoneIdentifier = local.zones[0] } }
    }
    # As `drill run descent`: the datastores cannot be reached, nor can anything else off the host.
    network = {
      description = "One zone's hosts reach no other zone"
      action      = { id = "aws:network:disrupt-connectivity", target = "Subnets", parameters = { duration = "PT5M", scope = "availability-zone" } }
      target      = { type = "aws:ec2:subnet", mode = "ALL", arns = [module.network.private_subnet_arns[local.zones[0]]], tags = {} }
    }
    # As the drills that kill a program: ECS starts it anew, and ends one host's at a time in a deploy.
    task = {
      description = "One scorer task is stopped"
      action      = { id = "aws:ecs:stop-task", target = "Tasks", parameters = {} }
      target      = { type = "aws:ecs:task", mode = "COUNT(1)", arns = [], tags = {}, parameters = { cluster = module.programs.cluster_name, service = "scorer" } }
    }
    # As the drills of a region that is mute: hosts and stores are in the same subnets.
    region = {
      description = "Hosts and stores of the whole region reach nothing"
      action      = { id = "aws:network:disrupt-connectivity", target = "Subnets", parameters = { duration = "PT5M", scope = "all" } }
      target      = { type = "aws:ec2:subnet", mode = "ALL", arns = values(module.network.private_subnet_arns), tags = {} }
    }
    # As a shipper whose object storage is away: a backlog in the journals, and no decision the worse.
    storage = {
      description = "One zone's hosts do not reach S3"
      action      = { id = "aws:network:disrupt-connectivity", target = "Subnets", parameters = { duration = "PT5M", scope = "s3" } }
      target      = { type = "aws:ec2:subnet", mode = "ALL", arns = [module.network.private_subnet_arns[local.zones[0]]], tags = {} }
    }
  }

  # Actions that the drills name (`fis` of chaos/drills) and that none of the above is, with the reason.
  by_agent = "Acts through an SSM agent in the task, with the host's network in its hands: no program here may have that, and hosts reach no SSM."
  without_experiment = {
    "aws:ecs:task-cpu-stress"                                   = local.by_agent
    "aws:ecs:task-io-stress"                                    = local.by_agent
    "aws:ecs:task-network-blackhole-port"                       = local.by_agent
    "aws:ecs:task-network-latency"                              = local.by_agent
    "aws:ecs:task-network-packet-loss"                          = local.by_agent
    "aws:kinesis:stream-provisioned-throughput-exception"       = "The AWS provider (5.100) takes no stream as the target of an action."
    "aws:network:route-table-disrupt-cross-region-connectivity" = "Copies follow their primaries over AWS's own network, on no route of ours; hosts call no other region."
  }
}

resource "aws_fis_experiment_template" "this" {
  for_each    = local.experiments
  description = each.value.description
  role_arn    = aws_iam_role.experiments.arn
  tags        = { Name = "${var.name}-${each.key}" }

  action {
    name      = each.key
    action_id = each.value.action.id
    target {
      key   = each.value.action.target
      value = "hit"
    }
    dynamic "parameter" {
      for_each = each.value.action.parameters
      content {
        key   = parameter.key
        value = parameter.value
      }
    }
  }

  target {
    name           = "hit"
    resource_type  = each.value.target.type
    selection_mode = each.value.target.mode
    resource_arns  = length(each.value.target.arns) > 0 ? each.value.target.arns : null
    parameters     = try(each.value.target.parameters, null)
    dynamic "resource_tag" {
      for_each = each.value.target.tags
      content {
        key   = resource_tag.key
        value = resource_tag.value
      }
    }
  }

  stop_condition {
    source = "aws:cloudwatch:alarm"
    value  = aws_cloudwatch_metric_alarm.burn["answered-fast-short"].arn
  }

  log_configuration {
    log_schema_version = 2
    cloudwatch_logs_configuration {
      log_group_arn = "${aws_cloudwatch_log_group.experiments.arn}:*"
    }
  }
}

resource "aws_cloudwatch_log_group" "experiments" {
  name              = "/${var.name}/experiments"
  retention_in_days = 365
  kms_key_id        = aws_kms_key.this.arn
}

resource "aws_iam_role" "experiments" {
  name               = "${var.name}-${var.region}-experiments"
  assume_role_policy = data.aws_iam_policy_document.experiments_trust.json
}

resource "aws_iam_role_policy_attachment" "experiments" {
  for_each   = toset(["EC2", "ECS", "ElastiCache", "Network"])
  role       = aws_iam_role.experiments.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AWSFaultInjectionSimulator${each.key}Access"
}

resource "aws_iam_role_policy" "experiments" {
  name   = "log"
  role   = aws_iam_role.experiments.id
  policy = data.aws_iam_policy_document.experiments.json
}

data "aws_iam_policy_document" "experiments_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["fis.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "experiments" {
  statement {
    actions   = ["logs:CreateLogDelivery", "logs:PutResourcePolicy", "logs:DescribeResourcePolicies", "logs:DescribeLogGroups"]
    resources = ["*"] # a log delivery has no resource
  }
}
