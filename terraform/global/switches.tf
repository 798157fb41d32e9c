# One object takes a region out, and its absence lets it in (regions/routing/route53.py). Route 53's
# checkers have no credentials, so what is below `out/` can be read by anyone: a time of day.

resource "aws_s3_bucket" "switches" {
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
