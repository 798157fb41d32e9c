variable "name" {
  description = "Of the cluster; names of resources start with it."
  type        = string
}

variable "region" {
  description = "AWS region."
  type        = string
}

variable "account" {
  description = "AWS account."
  type        = string
}

variable "image" {
  description = "Of the programs, by digest."
  type        = string
}

variable "data_image" {
  description = "Of those that read or write history, by digest."
  type        = string
}

variable "agent_image" {
  description = "Of CloudWatch's agent, by digest."
  type        = string
}

variable "repositories" {
  description = "What the names of the images' repositories start with."
  type        = string
}

variable "zone" {
  description = "Where joiner and historian are: their state is on the volume of its applier's host."
  type        = string
}

variable "settings" {
  description = "STEPDOWN_* variables of every program."
  type        = map(string)
}

variable "scorer_memory_mib" {
  description = "Reserved for the scorers of a host."
  type        = number
}

variable "user" {
  description = "Numeric user of the programs, as the image makes it."
  type        = number
}

variable "home" {
  description = "Home folder: the host's persistent volume."
  type        = string
}

variable "api_port" {
  description = "The scorers'."
  type        = number
}

variable "operations_port" {
  description = "Of metrics."
  type        = number
}

variable "target_group_arn" {
  description = "That scorers register with."
  type        = string
}

variable "capacity_providers" {
  description = "Of all hosts."
  type        = list(string)
}

variable "stream_arn" {
  description = "The region's stream."
  type        = string
}

variable "record_bucket_arn" {
  description = "Where sealed journal segments go."
  type        = string
}

variable "anchors_bucket_arn" {
  description = "Where the heads of the chains go."
  type        = string
}

variable "key_arn" {
  description = "KMS key of the region."
  type        = string
}
