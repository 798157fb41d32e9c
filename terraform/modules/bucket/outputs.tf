output "name" {
  description = "Of the bucket, known once it is versioned, encrypted and private."
  value       = aws_s3_bucket.this.bucket
  depends_on = [
    aws_s3_bucket_versioning.this, aws_s3_bucket_server_side_encryption_configuration.this,
    aws_s3_bucket_public_access_block.this, aws_s3_bucket_policy.this,
  ]
}

output "arn" {
  description = "Of the bucket."
  value       = aws_s3_bucket.this.arn
}
