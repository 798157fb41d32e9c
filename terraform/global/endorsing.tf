# Vouches for the keys that hosts seal their journals with (app/record/kms.py). One key in every
# region: each has a replica, so that a host of any region is endorsed without another one.

resource "aws_kms_key" "endorsing" {
  description              = "${var.name}: endorses the journal keys of hosts"
  multi_region             = true
  key_usage                = "SIGN_VERIFY"
  customer_master_key_spec = "ECC_NIST_P256" # AWS rotates no asymmetric key
  deletion_window_in_days  = 30
  policy                   = data.aws_iam_policy_document.endorsing.json
}

resource "aws_kms_alias" "endorsing" {
  name          = "alias/${var.name}-endorsing"
  target_key_id = aws_kms_key.endorsing.key_id
}

data "aws_iam_policy_document" "endorsing" {
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
}
