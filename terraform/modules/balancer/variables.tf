variable "name" {
  description = "Of the balancer, 32 characters at most."
  type        = string
}

variable "port" {
  description = "The scorers'."
  type        = number
}

variable "idle_timeout_s" {
  description = "After which a silent connection is closed; below the scorers' keep-alive, or clients see resets."
  type        = number
}

variable "deregistration_delay_s" {
  description = "From the moment a host gets no new requests to its scorers' SIGTERM."
  type        = number
}

variable "requests_per_address" {
  description = "In five minutes; beyond it an address is refused."
  type        = number
}

variable "deletion_protection" {
  description = "Whether the balancer refuses to be deleted."
  type        = bool
}

variable "endpoint" {
  description = "Host name of the region."
  type        = string
}

variable "shared_name" {
  description = "Host name that all regions share."
  type        = string
}

variable "zone_id" {
  description = "Hosted zone of both."
  type        = string
}

variable "log_bucket" {
  description = "For access logs."
  type        = string
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
  description = "Public subnets."
  type        = list(string)
}

variable "hosts_group" {
  description = "Security group of the scorers' hosts."
  type        = string
}
