variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "environment" {
  description = "Part of the log groups' names."
  type        = string
}

variable "key_arn" {
  description = "The key of log groups."
  type        = string
}

variable "days" {
  description = "Days that service logs are kept."
  type        = number
}

variable "audit_days" {
  description = "Days that evidence is kept."
  type        = number

  validation {
    condition     = var.audit_days >= 365
    error_message = "Evidence is kept for a year at least."
  }
}
