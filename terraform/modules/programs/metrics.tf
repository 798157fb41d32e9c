# CloudWatch's agent reads what each host's operations listener tells, and takes the few metrics to
# CloudWatch that alarms and scaling follow. The rest stays where Prometheus can have it.

locals {
  # By host, and summed or averaged over them by CloudWatch. Names as `/metrics` has them.
  taken = [
    { labels = ["rung"], names = ["stepdown_decisions_total"] },
    { labels = [], names = [
      "stepdown_pressure_depth", "stepdown_bugs_total", "stepdown_journal_missing_total",
      "stepdown_client_defaults_total", "stepdown_shipper_backlog_seconds",
      "stepdown_shipper_left_segments", "stepdown_shipper_waiting_segments",
    ] },
    { labels = ["region"], names = ["stepdown_source_available"] },
  ]

  agent = {
    agent = { region = var.region }
    logs = {
      metrics_collected = {
        prometheus = {
          prometheus_config_path = "env:PROMETHEUS_CONFIG_CONTENT"
          log_group_name         = aws_cloudwatch_log_group.metrics.name
          emf_processor = {
            metric_namespace = "Stepdown"
            metric_declaration = [
              for one in local.taken : {
                source_labels    = ["job"]
                label_matcher    = "^stepdown$"
                dimensions       = [concat(["Service"], one.labels)]
                metric_selectors = [for name in one.names : "^${name}$"]
              }
            ]
          }
        }
      }
    }
  }

  scrape = {
    global = { scrape_interval = "15s", scrape_timeout = "5s" }
    scrape_configs = [{
      job_name       = "stepdown"
      static_configs = [{ targets = ["127.0.0.1:${var.operations_port}"], labels = { Service = var.name } }]
    }]
  }
}

resource "aws_cloudwatch_log_group" "metrics" {
  name              = "/${var.name}/metrics"
  retention_in_days = 365
  kms_key_id        = var.key_arn
}

resource "aws_ecs_task_definition" "metrics" {
  # checkov:skip=CKV_AWS_336:The agent writes its configuration into its own root file system
  family                   = "${var.name}-metrics"
  requires_compatibilities = ["EC2"]
  network_mode             = "host"
  execution_role_arn       = aws_iam_role.start.arn
  task_role_arn            = aws_iam_role.metrics.arn

  container_definitions = jsonencode([{
    name              = "metrics"
    image             = var.agent_image
    essential         = true
    memoryReservation = 128
    environment = [
      { name = "CW_CONFIG_CONTENT", value = jsonencode(local.agent) },
      { name = "PROMETHEUS_CONFIG_CONTENT", value = yamlencode(local.scrape) },
    ]
    portMappings   = []
    mountPoints    = []
    volumesFrom    = []
    systemControls = []
  }])
}

resource "aws_ecs_service" "metrics" {
  name                               = "metrics"
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.metrics.arn
  scheduling_strategy                = "DAEMON"
  launch_type                        = "EC2"
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
}

resource "aws_iam_role" "metrics" {
  name               = "${var.name}-${var.region}-metrics"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "metrics" {
  name   = "write"
  role   = aws_iam_role.metrics.id
  policy = data.aws_iam_policy_document.metrics.json
}

data "aws_iam_policy_document" "metrics" {
  statement {
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents", "logs:DescribeLogStreams"]
    resources = ["${aws_cloudwatch_log_group.metrics.arn}:*"]
  }
}
