# One region of Stepdown: everything that it needs to answer, and nothing of any other region.
#
# Applied once a region, each with a state of its own (regions/<region>.s3.tfbackend), so that the
# outage of one region neither blocks nor touches another's plan. What needs two regions, the copies
# of counters and of the record, is the mesh root's.

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
    tags = local.tags
  }
}

data "aws_caller_identity" "this" {}

module "topology" {
  source = "../modules/topology"
  domain = var.domain
}

locals {
  here    = module.topology.regions[var.region]
  account = data.aws_caller_identity.this.account_id
  zones   = [for letter in var.zone_letters : "${var.region}${letter}"]
  # Bucket names are unique in all of AWS.
  bucket      = "${var.name}-${local.account}-${var.region}"
  shared_name = "decisions.${var.domain}"
  tags = {
    Service = var.name
    Region  = var.region
    Managed = "terraform/region"
  }

  home            = "/var/lib/stepdown"
  user            = 10001 # as the Dockerfile makes it
  api_port        = 18000
  operations_port = 18001
}
