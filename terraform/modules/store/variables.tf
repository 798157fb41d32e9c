variable "name" {
  description = "What names of resources start with, 36 characters at most."
  type        = string
}

variable "region" {
  description = "Home region of the counters."
  type        = string
}

variable "shards" {
  description = "Replication groups, from the topology."
  type        = number
}

variable "replicated" {
  description = "Whether any other region reads them."
  type        = bool
}

variable "nodes" {
  description = "Nodes of a shard: a primary and its replicas."
  type        = number
}

variable "node_type" {
  description = "Of a node."
  type        = string
}

variable "engine_version" {
  description = "Of Valkey."
  type        = string
}

variable "family" {
  description = "Parameter group family that goes with it."
  type        = string
}

variable "user_group_id" {
  description = "Users that may log in."
  type        = string
}

variable "snapshot_days" {
  description = "Days that daily snapshots are kept."
  type        = number
}

variable "deletion_protection" {
  description = "Whether a last snapshot is taken before a shard is deleted."
  type        = bool
}

variable "key_arn" {
  description = "KMS key of the region."
  type        = string
}

variable "vpc_id" {
  description = "The VPC."
  type        = string
}

variable "subnet_ids" {
  description = "Private subnets."
  type        = list(string)
}

variable "hosts_group" {
  description = "Security group of the hosts."
  type        = string
}
