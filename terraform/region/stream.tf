# The region's events, from the shippers to the applier. Delivery only: the journals are the truth.

resource "aws_kinesis_stream" "this" {
  name             = var.name
  shard_count      = var.stream_shards
  retention_period = var.stream_hours
  encryption_type  = "KMS"
  kms_key_id       = aws_kms_key.this.arn
  # The applier polls, five reads a second and shard: it is one process, and needs no consumer.
  enforce_consumer_deletion = !var.deletion_protection
  shard_level_metrics       = ["WriteProvisionedThroughputExceeded", "IteratorAgeMilliseconds"]

  stream_mode_details {
    stream_mode = "PROVISIONED"
  }
}
