variable "name" {
  description = "What names of resources start with."
  type        = string
}

variable "region" {
  description = "AWS region, for the names of its endpoints."
  type        = string
}

variable "cidr" {
  description = "Addresses of the VPC, a /16."
  type        = string
}

variable "zones" {
  description = "Availability zones to use."
  type        = list(string)
}

variable "key_arn" {
  description = "KMS key of the region."
  type        = string
}
