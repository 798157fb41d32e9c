# The service's images, brought to each region, so that a region starts without any other.

resource "aws_ecr_repository" "this" {
  for_each             = toset(["service", "data", "agent"])
  name                 = "${var.name}/${each.key}"
  image_tag_mutability = "IMMUTABLE" # replaying a decision needs the very image that made it

  image_scanning_configuration {
    scan_on_push = true
  }

  encryption_configuration {
    encryption_type = "KMS"
  }
}

# Images of decisions that may still have to be replayed must stay, so only untagged ones go.
resource "aws_ecr_lifecycle_policy" "this" {
  for_each   = aws_ecr_repository.this
  repository = each.value.name
  policy = jsonencode({
    rules = [{
      rulePriority = 1
      description  = "What no release names"
      selection    = { tagStatus = "untagged", countType = "sinceImagePushed", countUnit = "days", countNumber = 14 }
      action       = { type = "expire" }
    }]
  })
}

resource "aws_ecr_replication_configuration" "this" {
  replication_configuration {
    rule {
      dynamic "destination" {
        for_each = local.regions
        content {
          region      = destination.value
          registry_id = local.account
        }
      }
      repository_filter {
        filter      = "${var.name}/"
        filter_type = "PREFIX_MATCH"
      }
    }
  }
}
