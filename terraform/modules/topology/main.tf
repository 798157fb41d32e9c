# The topology that the service reads, for Terraform: one file, so the two cannot disagree.

terraform {
  required_version = ">= 1.9"
}

variable "domain" {
  description = "Domain under which the regional endpoints live."
  type        = string
  default     = "example.com"

  validation {
    condition     = can(regex("^([a-z0-9]([a-z0-9-]*[a-z0-9])?\\.)+[a-z]{2,}$", var.domain))
    error_message = "The domain must be a host name in lower case, such as example.com."
  }
}

variable "topology_file" {
  description = "Path of the topology file; the service's own by default."
  type        = string
  default     = null
}

locals {
  file     = coalesce(var.topology_file, "${path.module}/../../../regions/topology.yaml")
  topology = yamldecode(file(local.file))
  names    = sort(keys(local.topology.regions))
  numbers  = [for region in values(local.topology.regions) : region.number]

  regions = {
    for name, region in local.topology.regions : name => {
      number   = region.number
      shards   = region.shards
      sources  = region.sources
      endpoint = replace(replace(local.topology.endpoint_host, "{region}", name), "{domain}", var.domain)
      # A datastore is replicated to the other regions that read it.
      replicate_to = sort([
        for other, reader in local.topology.regions : other
        if other != name && contains(reader.sources, name)
      ])
    }
  }

  # Both directions, so that a look-up need not know which region was named first.
  round_trip_ms = merge(flatten([
    for link in local.topology.links : [
      { join("/", link.between) = link.round_trip_ms },
      { join("/", reverse(link.between)) = link.round_trip_ms },
    ]
  ])...)
}
