# A model a week from what has settled since, on the applier's waiting host. It only makes a
# candidate there: what scorers load is brought to the models bucket by somebody who has read its
# report (docs/runbooks/terraform.md).

resource "aws_ecs_task_definition" "training" {
  family                   = "${var.name}-training"
  requires_compatibilities = ["EC2"]
  network_mode             = "host"
  execution_role_arn       = module.programs.start_role_arn
  task_role_arn            = aws_iam_role.training.arn

  container_definitions = jsonencode([{
    name      = "training"
    image     = var.data_image
    essential = true
    command = [
      "/opt/stepdown/bin/stepdown", "train", "--home", "${local.home}/training", "--region", var.region,
      "--data", "${local.home}/training/data.parquet", "--mapping", "${local.home}/training/mapping.yaml",
    ]
    user                   = tostring(local.user)
    memoryReservation      = 4096
    readonlyRootFilesystem = true
    environment            = []
    portMappings           = []
    volumesFrom            = []
    systemControls         = []
    mountPoints            = [{ sourceVolume = "home", containerPath = local.home, readOnly = false }]
    linuxParameters        = { tmpfs = [{ containerPath = "/tmp", size = 1024, mountOptions = ["nosuid", "nodev"] }] }
    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.training.name
        awslogs-region        = var.region
        awslogs-stream-prefix = "training"
      }
    }
  }])

  volume {
    name      = "home"
    host_path = local.home
  }
}

resource "aws_cloudwatch_log_group" "training" {
  name              = "/${var.name}/training"
  retention_in_days = 365
  kms_key_id        = aws_kms_key.this.arn
}

# Training reads and writes its host's volume alone, so its role may do nothing of AWS's.
resource "aws_iam_role" "training" {
  name               = "${var.name}-${var.region}-training"
  assume_role_policy = module.programs.trust
}

resource "aws_cloudwatch_event_rule" "training" {
  name                = "${var.name}-training"
  description         = "Once a week, when there is the least traffic"
  schedule_expression = "cron(0 4 ? * MON *)"
}

resource "aws_cloudwatch_event_target" "training" {
  rule     = aws_cloudwatch_event_rule.training.name
  arn      = module.programs.cluster_arn
  role_arn = aws_iam_role.schedule.arn

  ecs_target {
    task_definition_arn = aws_ecs_task_definition.training.arn
    launch_type         = "EC2"
    task_count          = 1
    placement_constraint {
      type       = "memberOf"
      expression = "attribute:role == applier"
    }
  }

  retry_policy {
    maximum_event_age_in_seconds = 3600
    maximum_retry_attempts       = 2
  }
}

resource "aws_iam_role" "schedule" {
  name               = "${var.name}-${var.region}-schedule"
  assume_role_policy = data.aws_iam_policy_document.schedule_trust.json
}

resource "aws_iam_role_policy" "schedule" {
  name   = "run"
  role   = aws_iam_role.schedule.id
  policy = data.aws_iam_policy_document.schedule.json
}

data "aws_iam_policy_document" "schedule_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["events.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "schedule" {
  statement {
    actions   = ["ecs:RunTask"]
    resources = [aws_ecs_task_definition.training.arn]
  }
  statement {
    actions   = ["iam:PassRole"]
    resources = [aws_iam_role.training.arn, module.programs.start_role_arn]
  }
}
