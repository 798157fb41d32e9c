variable "region" {
  description = "The region whose copies these are."
  type        = string

  validation {
    condition     = contains(keys(yamldecode(file("${path.module}/../../regions/topology.yaml")).regions), var.region)
    error_message = "The topology (regions/topology.yaml) has no such region."
  }
}

variable "name" {
  description = "What names of resources start with; the same in every root."
  type        = string
  default     = "stepdown"
}

variable "joined" {
  description = "Global groups of each other region whose counters are copied here, shard 0 first (its output global_groups)."
  type        = map(list(string))
  default     = {}

  validation {
    condition = !contains(keys(var.joined), var.region) && length(setsubtract(
      keys(var.joined), yamldecode(file("${path.module}/../../regions/topology.yaml")).regions[var.region].sources
    )) == 0
    error_message = "Only regions that the topology says this one reads can be joined, and never itself."
  }

  validation {
    condition = alltrue([
      for source, groups in var.joined :
      length(groups) == try(yamldecode(file("${path.module}/../../regions/topology.yaml")).regions[source].shards, -1)
    ])
    error_message = "A joined region has as many global groups as it has shards in the topology."
  }
}

variable "copy_nodes" {
  description = "Nodes of a copy: what it has, its primary has."
  type        = number
  default     = 1

  validation {
    condition     = var.copy_nodes >= 1 && var.copy_nodes <= 6
    error_message = "A copy has 1 to 6 nodes."
  }
}

variable "record_copy_region" {
  description = "Region whose buckets keep a copy of this one's record; null for none."
  type        = string
  default     = null

  validation {
    condition     = var.record_copy_region == null ? true : var.record_copy_region != var.region && contains(keys(yamldecode(file("${path.module}/../../regions/topology.yaml")).regions), var.record_copy_region)
    error_message = "The record is copied to another region of the topology."
  }
}

variable "aws_max_retries" {
  description = "Of a call of AWS by Terraform; few against a test double, which answers 500 for what it lacks."
  type        = number
  default     = 25
}
