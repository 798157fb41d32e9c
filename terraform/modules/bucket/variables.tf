variable "name" {
  description = "Of the bucket, unique in AWS."
  type        = string
}

variable "key_arn" {
  description = "KMS key; null for S3's own, which balancers and S3 itself need to write logs."
  type        = string
  default     = null
}

variable "lock_days" {
  description = "For how long no version may be deleted; 0 for no Object Lock."
  type        = number
  default     = 0
}

variable "lock_mode" {
  description = "governance or compliance."
  type        = string
  default     = "governance"
}

variable "expire_days" {
  description = "After which objects go; 0 for never."
  type        = number
  default     = 0
}

variable "log_bucket" {
  description = "Bucket for access logs; null for none."
  type        = string
  default     = null
}

variable "policy" {
  description = "Statements above those that every bucket has; null for none."
  type        = string
  default     = null
}
