variable "region" {
  description = "The region to apply, as the topology names it."
  type        = string

  validation {
    condition     = contains(keys(yamldecode(file("${path.module}/../../regions/topology.yaml")).regions), var.region)
    error_message = "The topology (regions/topology.yaml) has no such region; add it there first, with a number of its own."
  }
}

variable "domain" {
  description = "Domain of the endpoints; its hosted zone is the global root's."
  type        = string
}

variable "name" {
  description = "What names of resources start with."
  type        = string
  default     = "stepdown"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,15}$", var.name))
    error_message = "The name must be 2 to 16 lower-case letters, digits and dashes, a letter first: names of balancers have 32 characters."
  }
}

variable "profile" {
  description = "staging or production; both refuse models that were trained on simulated data."
  type        = string
  default     = "production"

  validation {
    condition     = contains(["staging", "production"], var.profile)
    error_message = "The profile must be staging or production; development is for one machine."
  }
}

variable "image" {
  description = "The serving image, by digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.image))
    error_message = "The image must be named by its digest (...@sha256:...): replaying a decision needs the very same one."
  }
}

variable "data_image" {
  description = "The image's data stage, by digest: shipping, applying, history, training."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.data_image))
    error_message = "The data image must be named by its digest (...@sha256:...)."
  }
}

variable "agent_image" {
  description = "CloudWatch's agent, mirrored to the registry of the global root, by digest."
  type        = string

  validation {
    condition     = can(regex("@sha256:[0-9a-f]{64}$", var.agent_image))
    error_message = "The agent's image must be named by its digest (...@sha256:...)."
  }
}

variable "control_region" {
  description = "Where the switches are: none of the topology's, since it has to be there when one of them is not."
  type        = string
  default     = "us-west-2"

  validation {
    condition     = !contains(keys(yamldecode(file("${path.module}/../../regions/topology.yaml")).regions), var.control_region)
    error_message = "The control region must be none of the regions that it switches."
  }
}

# Named and not looked up: a zone that is impaired or new must not move every subnet.
variable "zone_letters" {
  description = "Availability zones, by letter; as many as the cost table plans with (terraform/prices.toml). Add at the end only: addresses go by place."
  type        = list(string)
  default     = ["a", "b", "c"]

  validation {
    condition     = length(distinct(var.zone_letters)) >= 2 && length(var.zone_letters) <= 6 && alltrue([for letter in var.zone_letters : can(regex("^[a-z]$", letter))])
    error_message = "A region needs 2 to 6 availability zones, each by its letter: one of them may be lost at any time."
  }
}

variable "copies" {
  description = "Local copies of other regions' counters, as `terraform output copies` of the mesh root tells: region to host:port|host:port."
  type        = map(string)
  default     = {}

  validation {
    condition = length(setsubtract(
      keys(var.copies), yamldecode(file("${path.module}/../../regions/topology.yaml")).regions[var.region].sources
    )) == 0 && !contains(keys(var.copies), var.region)
    error_message = "Copies can only be of other regions that the topology says this region reads."
  }
}

variable "deletion_protection" {
  description = "Whether what holds data or takes traffic refuses to go without a second thought."
  type        = bool
  default     = true
}

variable "alarm_address" {
  description = "E-mail address that alarms and budgets tell."
  type        = string

  validation {
    condition     = can(regex("^[^@ ]+@[^@ ]+\\.[^@ ]+$", var.alarm_address))
    error_message = "The alarm address must be an e-mail address."
  }
}

variable "budget_dollars" {
  description = "Expected bill of the region a month; `stepdown bench estimate` tells of a plan."
  type        = number

  validation {
    condition     = var.budget_dollars > 0
    error_message = "The budget must be above 0 dollars."
  }
}

variable "aws_max_retries" {
  description = "Of a call of AWS by Terraform; few against a test double, which answers 500 for what it lacks."
  type        = number
  default     = 25
}
