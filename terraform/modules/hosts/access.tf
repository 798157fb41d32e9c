# What a host itself may do: join the cluster, take a volume of its own kind, read what it needs to
# start. What its programs may do is theirs.

resource "aws_iam_role" "this" {
  name               = "${var.name}-${var.region}-host"
  assume_role_policy = data.aws_iam_policy_document.trust.json
}

resource "aws_iam_instance_profile" "this" {
  name = aws_iam_role.this.name
  role = aws_iam_role.this.name
}

resource "aws_iam_role_policy_attachment" "ecs" {
  role       = aws_iam_role.this.name
  policy_arn = "arn:aws:iam::aws:policy/service-role/AmazonEC2ContainerServiceforEC2Role"
}

resource "aws_iam_role_policy" "this" {
  name   = "start"
  role   = aws_iam_role.this.id
  policy = data.aws_iam_policy_document.this.json
}

data "aws_iam_policy_document" "trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "FindVolume"
    actions   = ["ec2:DescribeVolumes"]
    resources = ["*"] # a list has no resource
  }

  statement {
    sid       = "TakeVolume"
    actions   = ["ec2:AttachVolume"]
    resources = ["arn:aws:ec2:${var.region}:${var.account}:volume/*"]
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/Journal"
      values   = [var.name]
    }
  }

  statement {
    sid       = "ToItself"
    actions   = ["ec2:AttachVolume"]
    resources = ["arn:aws:ec2:${var.region}:${var.account}:instance/*"]
    condition {
      test     = "ArnEquals"
      variable = "ec2:SourceInstanceARN"
      values   = ["$${ec2:SourceInstanceARN}"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:ResourceTag/Role"
      values   = [var.role]
    }
  }

  statement {
    sid       = "Secrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = values(var.secret_ids)
  }

  statement {
    sid       = "Published"
    actions   = ["s3:GetObject"]
    resources = ["arn:aws:s3:::${var.models_bucket}/published/*"]
  }

  statement {
    sid       = "ListPublished"
    actions   = ["s3:ListBucket"]
    resources = ["arn:aws:s3:::${var.models_bucket}"]
  }

  statement {
    sid       = "Decrypt"
    actions   = ["kms:Decrypt"]
    resources = [var.key_arn]
  }
}
