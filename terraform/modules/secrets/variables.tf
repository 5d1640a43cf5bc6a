variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
  type        = string
}

variable "environment" {
  description = "First part of the secrets' names."
  type        = string
}

variable "account_id" {
  description = "The account."
  type        = string
}

variable "partition" {
  description = "`aws`, `aws-cn` and so on."
  type        = string
}

variable "key_arn" {
  description = "The key of secrets."
  type        = string
}

variable "recovery_days" {
  description = "Days that a deleted secret can be brought back; 0 for none."
  type        = number
}

variable "operator_role_arns" {
  description = "Roles of people who may read the values back."
  type        = list(string)
}
