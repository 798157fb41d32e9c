# Buckets of the region. The mesh root replicates the record and its anchors to another region.

module "logs" {
  source      = "../modules/bucket"
  name        = "${local.bucket}-logs"
  expire_days = 400
  policy      = data.aws_iam_policy_document.logs.json # S3's own key: balancers know no other
}

# Sealed journal segments. Nobody can shorten `compliance`; a bucket that holds locked objects
# cannot be deleted, whatever Terraform is told.
module "record" {
  source     = "../modules/bucket"
  name       = "${local.bucket}-record"
  key_arn    = aws_kms_key.this.arn
  lock_days  = var.record_lock.days
  lock_mode  = var.record_lock.mode
  log_bucket = module.logs.name
}

# Heads of the chains, every second; away from the journals, or a cut tail would verify.
module "anchors" {
  source     = "../modules/bucket"
  name       = "${local.bucket}-anchors"
  key_arn    = aws_kms_key.this.arn
  lock_days  = var.record_lock.days
  lock_mode  = var.record_lock.mode
  log_bucket = module.logs.name
}

# What scorers load: models, snapshots, merchant directory, rules, policy, below `published/`.
module "models" {
  source     = "../modules/bucket"
  name       = "${local.bucket}-models"
  key_arn    = aws_kms_key.this.arn
  log_bucket = module.logs.name
}

data "aws_iam_policy_document" "logs" {
  statement {
    sid       = "Balancer"
    actions   = ["s3:PutObject"]
    resources = ["arn:aws:s3:::${local.bucket}-logs/balancer/*"]
    principals {
      type        = "Service"
      identifiers = ["logdelivery.elasticloadbalancing.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  statement {
    sid       = "Buckets"
    actions   = ["s3:PutObject"]
    resources = ["arn:aws:s3:::${local.bucket}-logs/s3/*"]
    principals {
      type        = "Service"
      identifiers = ["logging.s3.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}
