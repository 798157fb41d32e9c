# The record of a region survives the region: both buckets are replicated, locks included, to those
# of another one. Names and aliases are the same everywhere, so nothing has to be looked up there.

locals {
  kept   = var.record_copy_region == null ? [] : ["record", "anchors"]
  far    = var.record_copy_region == null ? "" : "${var.name}-${local.account}-${var.record_copy_region}"
  copied = { for what in local.kept : what => { from = "${local.bucket}-${what}", to = "arn:aws:s3:::${local.far}-${what}" } }
}

resource "aws_s3_bucket_replication_configuration" "record" {
  for_each = local.copied
  bucket   = each.value.from
  role     = aws_iam_role.record[0].arn

  rule {
    id     = "all"
    status = "Enabled"
    filter {}

    # A marker hides, it does not delete; the copy should hide nothing.
    delete_marker_replication {
      status = "Disabled"
    }

    source_selection_criteria {
      sse_kms_encrypted_objects {
        status = "Enabled"
      }
    }

    destination {
      bucket        = each.value.to
      storage_class = "STANDARD_IA"
      encryption_configuration {
        replica_kms_key_id = "arn:aws:kms:${var.record_copy_region}:${local.account}:alias/${var.name}"
      }
    }
  }
}

resource "aws_iam_role" "record" {
  count              = min(length(local.kept), 1)
  name               = "${var.name}-${var.region}-record-copy"
  assume_role_policy = data.aws_iam_policy_document.record_trust.json
}

resource "aws_iam_role_policy" "record" {
  count  = min(length(local.kept), 1)
  name   = "replicate"
  role   = aws_iam_role.record[0].id
  policy = data.aws_iam_policy_document.record.json
}

data "aws_iam_policy_document" "record_trust" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["s3.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
}

data "aws_iam_policy_document" "record" {
  statement {
    sid       = "From"
    actions   = ["s3:GetReplicationConfiguration", "s3:ListBucket"]
    resources = [for one in local.copied : "arn:aws:s3:::${one.from}"]
  }

  statement {
    sid       = "Read"
    actions   = ["s3:GetObjectVersionForReplication", "s3:GetObjectVersionTagging", "s3:GetObjectRetention", "s3:GetObjectLegalHold"]
    resources = [for one in local.copied : "arn:aws:s3:::${one.from}/*"]
  }

  statement {
    sid       = "To"
    actions   = ["s3:ReplicateObject", "s3:ReplicateTags"]
    resources = [for one in local.copied : "${one.to}/*"]
  }

  statement {
    sid       = "Keys"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"]
    resources = ["arn:aws:kms:*:${local.account}:key/*"]
    condition { # the two regions' own keys, by their common alias
      test     = "ForAnyValue:StringEquals"
      variable = "kms:ResourceAliases"
      values   = ["alias/${var.name}"]
    }
  }
}
