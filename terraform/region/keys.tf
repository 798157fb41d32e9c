# One key for what is kept in the region, never shared with another: losing one region's key, or
# destroying it on purpose, reaches no other's data.

resource "aws_kms_key" "this" {
  description             = "Stepdown in ${var.region}: journals, counters, stream, record, logs"
  enable_key_rotation     = true
  deletion_window_in_days = 30
  policy                  = data.aws_iam_policy_document.key.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}

data "aws_iam_policy_document" "key" {
  # checkov:skip=CKV_AWS_109:In the policy of a key, its only resource is the key itself
  # checkov:skip=CKV_AWS_111:In the policy of a key, its only resource is the key itself
  # checkov:skip=CKV_AWS_356:In the policy of a key, its only resource is the key itself
  # Access is given by IAM; without this statement nobody could ever change the key again.
  statement {
    sid       = "Account"
    actions   = ["kms:*"]
    resources = ["*"] # in a key's policy: this key
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${local.account}:root"]
    }
  }

  # Services that write on their own behalf.
  statement {
    sid       = "Services"
    actions   = ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"]
    resources = ["*"]
    principals {
      type        = "Service"
      identifiers = ["logs.${var.region}.amazonaws.com", "cloudwatch.amazonaws.com", "events.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }

  # Autoscaling starts hosts whose disks are encrypted with this key.
  statement {
    sid       = "Hosts"
    actions   = ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey", "kms:CreateGrant"]
    resources = ["*"]
    principals {
      type        = "AWS"
      identifiers = ["arn:aws:iam::${local.account}:role/aws-service-role/autoscaling.amazonaws.com/AWSServiceRoleForAutoScaling"]
    }
  }
}

# This region's half of the key that vouches for hosts' journal keys (app/record/kms.py); the primary
# is in the control region. The provider waits two minutes for a replica, however soon it is there.
resource "aws_kms_replica_key" "endorsing" {
  description             = "Stepdown in ${var.region}: endorses the journal keys of hosts"
  primary_key_arn         = "arn:aws:kms:${var.control_region}:${local.account}:key/${var.endorsing_key}"
  deletion_window_in_days = 30
}

resource "aws_kms_alias" "endorsing" {
  name          = "alias/${var.name}-endorsing"
  target_key_id = aws_kms_replica_key.endorsing.key_id
}

variable "endorsing_key" {
  description = "Id (mrk-...) of the multi-region key, `terraform output endorsing_key` of the global root."
  type        = string

  validation {
    condition     = can(regex("^mrk-[0-9a-f]{32}$", var.endorsing_key))
    error_message = "The endorsing key is the id of a multi-region key: mrk- and 32 hexadecimal digits."
  }
}
