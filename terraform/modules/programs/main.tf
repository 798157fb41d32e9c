# The programs of a region, on ECS: what `regions/world/embedded.py` runs on one machine, from the
# same modules of the same image. The datastores are ElastiCache here, the stream is Kinesis, and
# Route 53 stands in the place of the DNS server.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
}

locals {
  python = "/opt/stepdown/bin/python"

  # Command, where it runs, and seconds from SIGTERM to SIGKILL. Memory is a reservation: a host runs
  # one of each, and what is left is the page cache's.
  programs = {
    shipper    = { module = ["app.record.shipper"], on = "any", stop_s = 5, memory = 256 }
    explainer  = { module = ["app.record.explainer"], on = "scorer", stop_s = 5, memory = 512 }
    operations = { module = ["app.operations"], on = "any", stop_s = 5, memory = 256 }
    scorer     = { module = ["gunicorn", "-c", "python:app.gunicorn_conf", "app.main:app"], on = "scorer", stop_s = 10, memory = var.scorer_memory_mib }
    # One writer a store: never two of it, not even while one replaces the other.
    applier = { module = ["app.features.applier_process"], on = "applier", stop_s = 5, memory = 1024 }
    # One of each, on the region's stream, since a follow-up may reach another host than its decision.
    joiner    = { module = ["app.record.joiner_process"], on = "applier", stop_s = 5, memory = 512 }
    historian = { module = ["app.history.historian_process", "--rows", "10000", "--linger", "5"], on = "applier", stop_s = 5, memory = 512 }
  }

  lone    = ["applier", "joiner", "historian"]
  daemons = { for name, program in local.programs : name => program if !contains(local.lone, name) }

  # What calls AWS or holds history is of the image's `data` stage: no scorer has boto3, chDB or Arrow.
  data   = ["shipper", "applier", "joiner", "historian"]
  images = { for name, program in local.programs : name => contains(local.data, name) ? var.data_image : var.image }

  environment = [for name in sort(keys(var.settings)) : { name = name, value = var.settings[name] }]
}

resource "aws_ecs_cluster" "this" {
  name = var.name

  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_ecs_cluster_capacity_providers" "this" {
  cluster_name       = aws_ecs_cluster.this.name
  capacity_providers = var.capacity_providers
}

resource "aws_cloudwatch_log_group" "this" {
  for_each          = local.programs
  name              = "/${var.name}/${each.key}"
  retention_in_days = 365 # warnings and starts; payments are in the record, never in a log
  kms_key_id        = var.key_arn
}

resource "aws_ecs_task_definition" "this" {
  for_each                 = local.programs
  family                   = "${var.name}-${each.key}"
  requires_compatibilities = ["EC2"]
  # Programs of a host push their metrics to its operations listener over loopback.
  network_mode       = "host"
  execution_role_arn = aws_iam_role.start.arn
  task_role_arn      = aws_iam_role.program[each.key].arn

  container_definitions = jsonencode([{
    name              = each.key
    image             = local.images[each.key]
    essential         = true
    command           = concat([local.python, "-m"], each.value.module)
    user              = tostring(var.user)
    memoryReservation = each.value.memory
    environment       = local.environment
    stopTimeout       = each.value.stop_s
    portMappings      = each.key == "scorer" ? [{ containerPort = var.api_port, hostPort = var.api_port, protocol = "tcp" }] : []
    mountPoints = [
      { sourceVolume = "home", containerPath = var.home, readOnly = false },
      # Journals' rings: what a scorer leaves there is for whoever opens its slot next.
      { sourceVolume = "memory", containerPath = "/dev/shm", readOnly = false },
    ]
    volumesFrom    = []
    systemControls = []

    readonlyRootFilesystem = true
    privileged             = false
    linuxParameters = {
      capabilities       = { add = [], drop = ["ALL"] }
      initProcessEnabled = false
      tmpfs              = [{ containerPath = "/tmp", size = 64, mountOptions = ["nosuid", "nodev", "noexec"] }]
    }
    ulimits = [{ name = "nofile", softLimit = 65536, hardLimit = 65536 }]

    # Shallow: a scorer whose datastore is away still answers, and must not be restarted for it.
    healthCheck = each.key == "scorer" ? {
      command     = ["CMD", local.python, "-c", "import ssl, urllib.request as u; u.urlopen('https://127.0.0.1:${var.api_port}/livez', timeout=3, context=ssl._create_unverified_context())"]
      interval    = 10
      timeout     = 5
      retries     = 3
      startPeriod = 60
    } : null

    logConfiguration = {
      logDriver = "awslogs"
      options = {
        awslogs-group         = aws_cloudwatch_log_group.this[each.key].name
        awslogs-region        = var.region
        awslogs-stream-prefix = "host"
        mode                  = "non-blocking" # a log that cannot be sent must not stop a decision
        max-buffer-size       = "4m"
      }
    }
  }])

  volume {
    name      = "home"
    host_path = var.home
  }

  volume {
    name      = "memory"
    host_path = "/dev/shm"
  }
}

# One of each a host. A host is updated by stopping its one and starting another, since two would
# want the same port and the same journals; the balancer sends nothing there meanwhile.
resource "aws_ecs_service" "daemon" {
  for_each                           = local.daemons
  name                               = each.key
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this[each.key].arn
  scheduling_strategy                = "DAEMON"
  launch_type                        = "EC2"
  deployment_minimum_healthy_percent = each.key == "scorer" ? 66 : 0
  deployment_maximum_percent         = 100
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"
  health_check_grace_period_seconds  = each.key == "scorer" ? 60 : null

  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }

  dynamic "load_balancer" {
    for_each = each.key == "scorer" ? [var.target_group_arn] : []
    content {
      target_group_arn = load_balancer.value
      container_name   = "scorer"
      container_port   = var.api_port
    }
  }

  dynamic "placement_constraints" {
    for_each = each.value.on == "any" ? [] : [each.value.on]
    content {
      type       = "memberOf"
      expression = "attribute:role == ${placement_constraints.value}"
    }
  }
}

# One works. Where its host is lost, ECS starts the applier on another of its kind, in another zone:
# what it has done is in the store. Joiner and historian keep that on their volume, so that they wait
# for a host that has it: while a zone is away, effects and history are late, and nothing is lost
# that the stream still has.
resource "aws_ecs_service" "lone" {
  for_each                           = toset(local.lone)
  name                               = each.key
  cluster                            = aws_ecs_cluster.this.id
  task_definition                    = aws_ecs_task_definition.this[each.key].arn
  launch_type                        = "EC2"
  desired_count                      = 1
  deployment_minimum_healthy_percent = 0
  deployment_maximum_percent         = 100
  enable_ecs_managed_tags            = true
  propagate_tags                     = "SERVICE"

  placement_constraints {
    type       = "memberOf"
    expression = "attribute:role == applier"
  }

  dynamic "placement_constraints" {
    for_each = each.key == "applier" ? [] : [var.zone]
    content {
      type       = "memberOf"
      expression = "attribute:ecs.availability-zone == ${placement_constraints.value}"
    }
  }
}
