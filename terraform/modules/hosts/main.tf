# EC2 hosts of one kind, with a volume for journals that outlives each of them.
#
# Not Fargate: its disk dies with the task, and so do volumes that ECS manages. A group a zone, since
# a volume cannot leave its zone; a host takes a free volume of its zone when it starts, and with it
# what its predecessor had not shipped yet.

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
  zones = toset(keys(var.subnets))
  slots = {
    for slot in setproduct(keys(var.subnets), range(var.hosts_max)) :
    "${slot[0]}-${slot[1]}" => { zone = slot[0], number = var.numbers[slot[0]] + slot[1] }
  }
}

resource "aws_ebs_volume" "journal" {
  for_each          = local.slots
  availability_zone = each.value.zone
  size              = var.volume_gb
  type              = "gp3"
  encrypted         = true
  kms_key_id        = var.key_arn
  final_snapshot    = var.deletion_protection # it may hold decisions that were not shipped
  # The number is the journals', and so the volume's: whatever host has it writes on under it.
  tags = { Name = "${var.name}-${each.key}", Journal = var.name, Number = tostring(each.value.number) }
}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/ecs/optimized-ami/amazon-linux-2023/recommended/image_id"
}

resource "aws_launch_template" "this" {
  name                   = var.name
  image_id               = nonsensitive(data.aws_ssm_parameter.image.value)
  instance_type          = var.instance_type
  vpc_security_group_ids = [var.security_group]
  update_default_version = true
  user_data = base64encode(templatefile("${path.module}/host.sh.tftpl", {
    cluster = var.cluster
    name    = var.name
    region  = var.region
    role    = var.role
    home    = var.home
    user    = var.user
    secrets = var.secret_ids
    models  = var.models_bucket
  }))

  iam_instance_profile {
    arn = aws_iam_instance_profile.this.arn
  }

  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1 # programs have roles of their own
  }

  block_device_mappings {
    device_name = "/dev/xvda"
    ebs {
      volume_size           = 40
      volume_type           = "gp3"
      encrypted             = true
      kms_key_id            = var.key_arn
      delete_on_termination = true # nothing on it is worth keeping
    }
  }

  monitoring {
    enabled = true # CPU by the minute, which scaling follows
  }

  dynamic "tag_specifications" {
    for_each = toset(["instance", "volume"])
    content {
      resource_type = tag_specifications.value
      tags          = merge(var.tags, { Name = var.name, Role = var.role })
    }
  }
}

resource "aws_autoscaling_group" "this" {
  for_each            = local.zones
  name                = "${var.name}-${each.key}"
  vpc_zone_identifier = [var.subnets[each.key]]
  min_size            = var.hosts_min
  max_size            = var.hosts_max
  # Not below the minimum, ever, and that holds another region's share: nothing has to be started
  # while a region is lost.
  health_check_type         = "EC2"
  health_check_grace_period = 120
  default_instance_warmup   = 120
  wait_for_capacity_timeout = "0" # a host that does not come up shows in the alarms

  launch_template {
    id      = aws_launch_template.this.id
    version = aws_launch_template.this.latest_version
  }

  # One host of the zone at a time, and never with another down.
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage = var.hosts_min > 1 ? 90 : 0
    }
  }

  dynamic "tag" {
    for_each = merge(var.tags, { Name = var.name, Role = var.role, AmazonECSManaged = "true" })
    content {
      key                 = tag.key
      value               = tag.value
      propagate_at_launch = true
    }
  }

  lifecycle {
    ignore_changes = [desired_capacity] # autoscaling's
  }
}

# ECS drains a host before it goes: the balancer first, then a SIGTERM to its programs.
resource "aws_ecs_capacity_provider" "this" {
  for_each = local.zones
  name     = "${var.name}-${each.key}"

  auto_scaling_group_provider {
    auto_scaling_group_arn = aws_autoscaling_group.this[each.key].arn
    managed_draining       = "ENABLED"
    managed_scaling {
      status = "DISABLED" # hosts follow load and rungs, not the number of tasks
    }
  }
}
