# How much of everything. `stepdown bench cost --rate N` says what a traffic takes; it plans each
# region for its share of the whole with one region lost, and hosts at half of their CPU. Types and
# counts here are those of terraform/prices.toml.

variable "scorer_host" {
  description = "Type of the scorers' hosts."
  type        = string
  default     = "c7i.4xlarge"
}

variable "scorer_workers" {
  description = "Scorer processes of a host: one a vCPU."
  type        = number
  default     = 16
}

variable "scorer_memory_mib" {
  description = "Reserved for the scorers of a host."
  type        = number
  default     = 8192
}

variable "scorer_hosts" {
  description = "Scorer hosts of a zone. The least carries the region's share while another region is lost: nothing has to be started then."
  type        = object({ min = number, max = number })
  default     = { min = 1, max = 3 }

  validation {
    condition     = var.scorer_hosts.min >= 1 && var.scorer_hosts.max >= var.scorer_hosts.min && var.scorer_hosts.max <= 40
    error_message = "Scorer hosts of a zone: min at least 1, max at least min and at most 40."
  }
}

variable "regions_of_fleet" {
  description = "Regions with scorers, for each host's share of what the lower rungs may approve; null for all of the topology."
  type        = number
  default     = null
}

variable "applier_host" {
  description = "Type of the applier's hosts: one works, one waits."
  type        = string
  default     = "c7i.xlarge"
}

variable "volume_gb" {
  description = "Of a host: journals of 16 workers at 4 GiB, and state."
  type        = number
  default     = 100

  validation {
    condition     = var.volume_gb >= 20
    error_message = "A host's volume must have 20 GB at least: journals keep what cannot be shipped."
  }
}

variable "store_node" {
  description = "Type of a datastore node; a global datastore needs large ones."
  type        = string
  default     = "cache.r7g.large"

  validation {
    condition     = !can(regex("\\.(micro|small|medium)$", var.store_node))
    error_message = "A global datastore takes nodes of size large and up."
  }
}

variable "store_nodes" {
  description = "Nodes of a shard at home: primary and replicas."
  type        = number
  default     = 2

  validation {
    condition     = var.store_nodes >= 2 && var.store_nodes <= 6
    error_message = "A shard needs 2 to 6 nodes: a primary without a replica is lost with its zone."
  }
}

variable "store_engine" {
  description = "Version of Valkey, and its parameter group family."
  type        = object({ version = string, family = string })
  default     = { version = "8.0", family = "valkey8" }
}

variable "stream_shards" {
  description = "Kinesis shards: 1 MB/s each, of which half is planned for."
  type        = number
  default     = 2
}

variable "stream_hours" {
  description = "How long the stream keeps events: longer than the worst lag, or a rebuild from a snapshot, takes."
  type        = number
  default     = 168

  validation {
    condition     = var.stream_hours >= 48 && var.stream_hours <= 8760
    error_message = "The stream must keep events for 48 hours at least: daily snapshots of the counters are caught up from it."
  }
}

variable "record_lock" {
  description = "Object Lock of the record: governance or compliance, and days."
  type        = object({ mode = string, days = number })
  default     = { mode = "governance", days = 365 }

  validation {
    condition     = contains(["governance", "compliance"], var.record_lock.mode) && var.record_lock.days >= 1 && var.record_lock.days <= 36500
    error_message = "The lock of the record is governance or compliance, for 1 to 36500 days."
  }
}
