# Each program may do what it does, and nothing else. A scorer needs nothing of AWS: neither to
# start nor to decide.

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    # Only for tasks of this account: no other may have ECS take the role for it.
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [var.account]
    }
  }
}

resource "aws_iam_role" "program" {
  for_each           = local.programs
  name               = "${var.name}-${var.region}-${each.key}"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "shipper" {
  name   = "ship"
  role   = aws_iam_role.program["shipper"].id
  policy = data.aws_iam_policy_document.shipper.json
}

resource "aws_iam_role_policy" "reader" {
  for_each = toset(local.lone)
  name     = "read"
  role     = aws_iam_role.program[each.key].id
  policy   = data.aws_iam_policy_document.reader.json
}

data "aws_iam_policy_document" "shipper" {
  statement {
    sid       = "Publish"
    actions   = ["kinesis:PutRecords"]
    resources = [var.stream_arn]
  }

  # Writes, reads back what it wrote, and sets for how long; it cannot delete, nor shorten.
  statement {
    sid       = "Archive"
    actions   = ["s3:PutObject", "s3:PutObjectRetention", "s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${var.record_bucket_arn}/*", "${var.anchors_bucket_arn}/*"]
  }

  statement {
    sid       = "Encrypt"
    actions   = ["kms:GenerateDataKey", "kms:Decrypt"]
    resources = [var.key_arn]
  }
}

data "aws_iam_policy_document" "reader" {
  statement {
    sid = "Read"
    actions = [
      "kinesis:GetRecords", "kinesis:GetShardIterator", "kinesis:ListShards",
      "kinesis:DescribeStreamSummary",
    ]
    resources = [var.stream_arn]
  }

  statement {
    sid       = "Decrypt"
    actions   = ["kms:Decrypt"]
    resources = [var.key_arn]
  }
}

# What ECS itself needs to start a program: its image and its log.
resource "aws_iam_role" "start" {
  name               = "${var.name}-${var.region}-start"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_role_policy" "start" {
  name   = "start"
  role   = aws_iam_role.start.id
  policy = data.aws_iam_policy_document.start.json
}

data "aws_iam_policy_document" "start" {
  statement {
    sid       = "Login"
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"] # a login has no resource
  }

  statement {
    sid       = "Pull"
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer", "ecr:BatchCheckLayerAvailability"]
    resources = ["arn:aws:ecr:${var.region}:${var.account}:repository/${var.repositories}/*"]
  }

  statement {
    sid       = "Log"
    actions   = ["logs:CreateLogStream", "logs:PutLogEvents"]
    resources = ["arn:aws:logs:${var.region}:${var.account}:log-group:/${var.name}/*"]
  }
}
