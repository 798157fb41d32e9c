output "regions" {
  description = "Every region by name: number, shards, sources, endpoint, replicate_to."
  value       = local.regions

  precondition {
    condition     = length(distinct(local.numbers)) == length(local.numbers)
    error_message = "Two regions have the same number, which is part of every decision id."
  }

  precondition {
    condition     = length(setintersection(local.numbers, try(local.topology.retired_numbers, []))) == 0
    error_message = "A region has the number of a retired region, which is never used again."
  }

  precondition {
    condition     = alltrue([for number in local.numbers : number >= 0 && number <= 255])
    error_message = "A region's number must be between 0 and 255."
  }

  precondition {
    condition = alltrue([
      for name, region in local.topology.regions :
      try(region.sources[0] == name, false) && length(setsubtract(region.sources, local.names)) == 0
    ])
    error_message = "A region must read its own datastore first, and those of other regions of the topology only."
  }

  # A Global Datastore has at most two secondary regions.
  precondition {
    condition     = alltrue([for region in values(local.regions) : length(region.replicate_to) <= 2])
    error_message = "A datastore can be replicated to two other regions at most."
  }
}

output "round_trip_ms" {
  description = "Round trip between two regions in milliseconds, by \"one/other\", both directions."
  value       = local.round_trip_ms

  precondition {
    condition = alltrue(flatten([
      for one in local.names : [
        for other in local.names : one == other || can(local.round_trip_ms["${one}/${other}"])
      ]
    ]))
    error_message = "Two regions have no link between them."
  }
}
