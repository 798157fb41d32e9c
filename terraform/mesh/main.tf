# What joins one region to the others: local copies of their counters, and the copy of its record
# that another region keeps. Applied once a region, after its region root, with a state of its own;
# it calls AWS in that region alone, so that no other region's outage stops it.
#
# `joined` says whose counters are here. Regions join and leave one at a time, and leave before they
# are destroyed: a secondary has to be gone before its global group can be.

terraform {
  required_version = ">= 1.11"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "~> 5.100"
    }
  }
  backend "s3" {}
}

provider "aws" {
  region      = var.region
  max_retries = var.aws_max_retries

  default_tags {
    tags = {
      Service = var.name
      Region  = var.region
      Managed = "terraform/mesh"
    }
  }
}

data "aws_caller_identity" "this" {}

module "topology" {
  source = "../modules/topology"
}

locals {
  here    = module.topology.regions[var.region]
  account = data.aws_caller_identity.this.account_id
  bucket  = "${var.name}-${local.account}-${var.region}"

  # One copy a shard of each joined region.
  copies = merge([
    for source, groups in var.joined : {
      for shard, group in groups : "${source}/${shard}" => {
        source = source
        shard  = shard
        group  = group
        name   = "${var.name}-${local.here.number}-of-${module.topology.regions[source].number}-${shard}"
      }
    }
  ]...)
}
