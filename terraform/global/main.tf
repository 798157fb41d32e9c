# What is there once, whatever regions there are: the zone, the image registry, the switches that
# take a region out, and the key that endorses the record. Applied in a region that serves nobody,
# so that it is there when one that serves is not.

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
  region      = var.control_region
  max_retries = var.aws_max_retries

  default_tags {
    tags = {
      Service = var.name
      Managed = "terraform/global"
    }
  }
}

data "aws_caller_identity" "this" {}

module "topology" {
  source = "../modules/topology"
  domain = var.domain
}

locals {
  account = data.aws_caller_identity.this.account_id
  regions = keys(module.topology.regions)
}
