variable "control_region" {
  description = "Where the switches and the registry are: none of the topology's."
  type        = string
  default     = "us-west-2"

  validation {
    condition     = !contains(keys(yamldecode(file("${path.module}/../../regions/topology.yaml")).regions), var.control_region)
    error_message = "The control region must be none of the regions that it switches."
  }
}

variable "domain" {
  description = "Domain of the endpoints; its registrar has to name the zone's servers (output name_servers)."
  type        = string
}

variable "name" {
  description = "What names of resources start with; the same in every root."
  type        = string
  default     = "stepdown"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.name))
    error_message = "The name must be 2 to 16 lower-case letters, digits and dashes, a letter first."
  }
}

variable "budget_dollars" {
  description = "Of all regions together, a month."
  type        = number

  validation {
    condition     = var.budget_dollars > 0
    error_message = "The budget must be above 0 dollars."
  }
}

variable "alarm_address" {
  description = "E-mail address that the budget tells."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.alarm_address))
    error_message = "The alarm address must be an e-mail address."
  }
}

variable "aws_max_retries" {
  description = "Of a call of AWS by Terraform; few against a test double, which answers 500 for what it lacks."
  type        = number
  default     = 25
}
