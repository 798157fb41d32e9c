# The region's events, from the shippers to the applier. Delivery only: the journals are the truth.

resource "aws_kinesis_stream" "this" {
  name             = var.name
  shard_count      = var.stream_shards
  retention_period = var.stream_hours
  encryption_type  = "KMS"
  kms_key_id       = aws_kms_key.this.arn
  # Five reads a second and shard are all readers' together, 2 MB/s alike: the applier takes four,
  # joiner and historian a quarter each (app/streams/choice.py), so that none needs a consumer.
  enforce_consumer_deletion = !var.deletion_protection
  shard_level_metrics       = ["WriteProvisionedThroughputExceeded", "IteratorAgeMilliseconds"]

  stream_mode_details {
    stream_mode = "PROVISIONED"
  }
}
