# One object takes a region out, and its absence lets it in (regions/routing/route53.py). Route 53's
# checkers have no credentials, so what is below `out/` can be read by anyone: a time of day.

resource "aws_s3_bucket" "switches" {
  # checkov:skip=CKV2_AWS_6:Checkers have no credentials, so that out/ can be read by anyone
  # checkov:skip=CKV2_AWS_61:A few small objects, whose history is wanted
  # checkov:skip=CKV2_AWS_62:Nothing waits for an event of it
  # checkov:skip=CKV_AWS_144:Losing it takes no region out; a copy would not be looked at
  # checkov:skip=CKV_AWS_145:A key of ours would have to let everyone decrypt
  # checkov:skip=CKV_AWS_18:Versions tell who switched what, and when
  bucket = "${var.name}-${local.account}-switches"
}

resource "aws_s3_bucket_versioning" "switches" {
  bucket = aws_s3_bucket.switches.id
  versioning_configuration {
    status = "Enabled" # who took which region out, and when
  }
}

resource "aws_s3_bucket_server_side_encryption_configuration" "switches" {
  bucket = aws_s3_bucket.switches.id
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "AES256" # a key of ours would have to let everyone decrypt
    }
  }
}

resource "aws_s3_bucket_public_access_block" "switches" {
  # checkov:skip=CKV_AWS_54:Checkers have no credentials, so that out/ can be read by anyone
  # checkov:skip=CKV_AWS_56:As above
  bucket                  = aws_s3_bucket.switches.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = false
  restrict_public_buckets = false
}

resource "aws_s3_bucket_policy" "switches" {
  bucket     = aws_s3_bucket.switches.id
  policy     = data.aws_iam_policy_document.switches.json
  depends_on = [aws_s3_bucket_public_access_block.switches]
}

data "aws_iam_policy_document" "switches" {
  statement {
    sid       = "Checkers"
    actions   = ["s3:GetObject"]
    resources = ["${aws_s3_bucket.switches.arn}/out/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
  }

  statement {
    sid       = "TlsOnly"
    effect    = "Deny"
    actions   = ["s3:*"]
    resources = [aws_s3_bucket.switches.arn, "${aws_s3_bucket.switches.arn}/*"]
    principals {
      type        = "*"
      identifiers = ["*"]
    }
    condition {
      test     = "Bool"
      variable = "aws:SecureTransport"
      values   = ["false"]
    }
  }
}

# Whoever may take a region out, and nothing else: data plane of one bucket.
resource "aws_iam_policy" "switching" {
  name   = "${var.name}-switching"
  policy = data.aws_iam_policy_document.switching.json
}

data "aws_iam_policy_document" "switching" {
  statement {
    actions   = ["s3:PutObject", "s3:DeleteObject"]
    resources = [for region in local.regions : "${aws_s3_bucket.switches.arn}/out/${region}"]
  }

  statement {
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.switches.arn]
  }
}
