variable "name" {
  description = "Prefix of every name, such as `trace-dev`."
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

variable "region" {
  description = "The region."
  type        = string
}

variable "key_arn" {
  description = "The key of the data bucket."
  type        = string
}

variable "endpoint_ids" {
  description = "The S3 endpoints that objects are reached through."
  type        = list(string)
}

variable "session_role_arn" {
  description = "The role whose sessions attempts get."
  type        = string
}

variable "dispatcher_role_arn" {
  description = "The dispatcher's role."
  type        = string
}

variable "query_role_arn" {
  description = "The query service's role."
  type        = string
}

variable "operator_role_arns" {
  description = "Roles of people who may reach objects from outside of the VPC, such as for a restore."
  type        = list(string)
}

variable "noncurrent_days" {
  description = "Days that replaced and deleted objects can still be brought back."
  type        = number
}

variable "access_log_days" {
  description = "Days that access logs are kept."
  type        = number
}

variable "force_destroy" {
  description = "Whether destroying the environment deletes what the buckets hold."
  type        = bool
}
