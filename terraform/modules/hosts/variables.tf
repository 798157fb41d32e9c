variable "name" {
  description = "Of hosts of this kind; also what marks their volumes."
  type        = string
}

variable "role" {
  description = "What programs look for when they are placed."
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

variable "cluster" {
  description = "ECS cluster to join."
  type        = string
}

variable "instance_type" {
  description = "Of a host; x86, as the machine that was measured on."
  type        = string
}

variable "hosts_min" {
  description = "Hosts of a zone, at least."
  type        = number
}

variable "hosts_max" {
  description = "Hosts of a zone, at most; as many volumes are made."
  type        = number
}

variable "volume_gb" {
  description = "Of the volume of a host: journals and state."
  type        = number
}

variable "subnets" {
  description = "Private subnet by zone."
  type        = map(string)
}

variable "numbers" {
  description = "Number of a zone's first host; the others' follow. Of the whole region's hosts no two may have the same."
  type        = map(number)
}

variable "security_group" {
  description = "Of the hosts."
  type        = string
}

variable "home" {
  description = "Where the volume is mounted: the programs' home folder."
  type        = string
}

variable "user" {
  description = "Numeric user of the programs."
  type        = number
}

variable "secret_ids" {
  description = "ARN of a secret by the file below home that it is kept in."
  type        = map(string)
}

variable "models_bucket" {
  description = "What is published lies there."
  type        = string
}

variable "key_arn" {
  description = "KMS key of the region."
  type        = string
}

variable "deletion_protection" {
  description = "Whether a snapshot is taken of a volume before it is deleted."
  type        = bool
}

variable "tags" {
  description = "Of hosts and their volumes."
  type        = map(string)
}
